"""Results of whole runs as markdown tables: the demo, denoising loops."""

from collections import defaultdict

from clusca_ext.demo.rows import FULL
from clusca_ext.demo.rows import rows_of as demo_rows
from demo import INTERVALS, markdown
from methods import baseline, rows_of
from models import MODELS
from report_operators import MISSING, is_cpu, lines_of

STEPS = 50  # of what is expected of a GPU, as are the following
LOOPS = ("flux-1024", "dit-xl-512", "hunyuan-480p65")
LOOP_INTERVALS = (5, 7)
GPU = "A GPU"


def origin(row: dict, command: str, shape: str) -> str:
    return f"{row['device']}; {shape}; `{command}`; commit {row['commit']}, torch {row['torch']}."


def grouped(rows: list[dict], bench: str) -> list[list[dict]]:
    """Of one bench: those of a device and commit together."""
    groups: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for row in rows:
        if row["bench"] == bench:
            groups[row["device"], row["commit"]].append(row)
    return list(groups.values())


# ---- the demo


def demo(rows: list[dict]) -> list[str]:
    lines = ["## The demo", ""]
    groups = grouped(rows, "demo")
    for group in groups:
        command, shape = "python bench/demo.py", group[0]["shape"].partition(", interval")[0]
        lines += [origin(group[0], command, f"{shape}, {group[0]['dtype']}"), "", markdown(group)]
        lines += [""]
    if all(is_cpu(group[0]) for group in groups):
        names = [["", FULL]]
        for interval in INTERVALS:
            names += [[str(interval), row.name] for row in demo_rows(interval, STEPS)]
        shape = f"digits-demo, DDIM {STEPS} steps, float32"
        lines += [f"{GPU}; {shape}; `python bench/demo.py`; {MISSING}.", ""]
        header = ["interval", "method", "speed-up, PSNR"]
        lines += [*lines_of(header, [[*name, MISSING] for name in names]), ""]
    return lines


# ---- denoising loops

TIMES = {
    "seconds": "seconds",
    "speedup": "speed-up",
    "full_ms": "full step, ms",
    "cached_ms": "cached step, ms",
    "cached_kernels": "its kernels",
    "cached_kernels_ms": "they take, ms",
    "cache_gib": "cache, GiB",
    "peak_gib": "peak, GiB",
}
RATIOS = ("speedup", "cached_ms")  # on a CPU: the latter of a full step
EMPTY = {  # what a method does not have
    "no cache": {"cached_ms", "cached_kernels", "cached_kernels_ms", "cache_gib"},
    "fewer steps": {"cached_ms", "cached_kernels", "cached_kernels_ms", "cache_gib"},
}


def loops(rows: list[dict]) -> list[str]:
    rows = [row for row in rows if row["bench"] == "end_to_end"]
    lines = ["## Denoising loops", "", EXPLANATION, ""]
    gpus = sorted({row["device"] for row in rows if not is_cpu(row)}) or [GPU]
    for device in gpus:
        for name in LOOPS:
            shape = f"{name} {MODELS[name].size}, {STEPS} steps"
            lines += gpu_table(device, shape, [row for row in rows if row["device"] == device])
    for group in grouped([row for row in rows if is_cpu(row)], "end_to_end"):
        lines += cpu_table(group)
    return lines


EXPLANATION = """\
Models of real size with random weights, the transformer alone. *torch*: the paper's cached step in
plain torch, held against ours by `tests/test_paper_cache.py`; *sums compiled*: its sums under
`torch.compile`, as in its code. A step's time is that between two events around it; the time of its
kernels leaves out launches and waiting."""


def gpu_table(device: str, shape: str, rows: list[dict]) -> list[str]:
    """Every row that is expected, whether it was measured or not."""
    name = shape.partition(" ")[0]
    found = {(row["shape"], row["impl"]): row for row in rows}
    expected = [("", shape, baseline(STEPS))]
    for interval in LOOP_INTERVALS:
        each = rows_of(MODELS[name].paper, interval, STEPS, compiles=True)
        expected += [(str(interval), f"{shape}, interval {interval}", row) for row in each]
    cells = []
    for interval, where, row in expected:
        measured = found.get((where, row.name), {})
        counts = f"{len(row.full)} + {row.steps - len(row.full)}" if row.full else ""
        cells.append([interval, row.name, counts, *_numbers(measured, row.name)])
    commits = sorted({row["commit"] for row in rows if row["shape"].startswith(f"{name} ")})
    commit = f"commit {', '.join(commits)}" if commits else MISSING
    command = f"`python bench/end_to_end.py --models {name}`"
    header = ["interval", "method", "full + cached", *TIMES.values()]
    return [f"{device}; {shape}, bfloat16; {command}; {commit}.", "", *lines_of(header, cells), ""]


def _numbers(measured: dict, method: str) -> list[str]:
    if "seconds" not in measured:
        return [measured.get("note", MISSING), *[""] * (len(TIMES) - 1)]
    empty = EMPTY.get(method, set())
    return ["" if key in empty else str(measured.get(key, "")) for key in TIMES]


def cpu_table(rows: list[dict]) -> list[str]:
    cells = []
    for row in rows:
        numbers = [row.get("note", MISSING), ""]
        if "seconds" in row:
            cached = f"{row['cached_ms'] / row['full_ms']:.3f}" if "cached_ms" in row else ""
            numbers = [f"{row['speedup']:.2f}x", cached]
        cells.append([row["shape"], row["impl"], *numbers])
    header = ["shape", "method", "speed-up", "cached step / full step"]
    command = origin(rows[0], "python bench/end_to_end.py", rows[0]["dtype"])
    return [command, "", *lines_of(header, cells), ""]
