"""Results of whole runs as markdown tables: the demo, storages, denoising loops."""

from collections import defaultdict

from clusca_ext.demo.rows import FULL
from clusca_ext.demo.rows import rows_of as demo_rows
from clusca_ext.measuring.models import MODELS
from demo import INTERVALS, markdown
from lean import INTERVALS as LEAN_INTERVALS
from lean import configs
from loop_rows import BASELINE, composed_rows, rows_of
from report_cases import MISSING, is_cpu
from report_operators import lines_of

STEPS = 50  # of what is expected of a GPU, as are the following
LOOPS = ("flux-1024", "dit-xl-512", "hunyuan-480p65", "hunyuan-720p129", "wan-14b-720p81")
INTERVAL, OTHER_INTERVALS = 6, (5, 7, 4)  # shown in full; of which speed-ups are shown
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


def everything(rows: list[dict]) -> list[str]:
    return [*demo(rows), *lean(rows), *loops(rows)]


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


# ---- storages

LEAN_EXPLANATION = """\
Storages on the embedded model, with and without clusters: a cached step, and by how much a full one
is longer (by k-means, too, where there are clusters), against a full step of the untouched model in
the same round, medians of rounds. The speed-up is that of a whole run, composed of them; *counted*
is what counted operations promise."""


def lean(rows: list[dict]) -> list[str]:
    lines = ["## Lean storage", "", LEAN_EXPLANATION, ""]
    command = "python bench/lean.py"
    for group in grouped(rows, "lean"):
        shape = group[0]["shape"].partition(", interval")[0]
        threads = f"threads: {group[0]['threads']}"
        above = origin(group[0], command, f"{shape}, {group[0]['dtype']}, {threads}")
        lines += [above, "", *_lean_table(group), ""]
    if not any(row["bench"] == "lean" for row in rows):
        lines += [f"digits-demo, DDIM {STEPS} steps; `{command}`; {MISSING}.", ""]
        lines += [*_lean_table([]), ""]
    return lines


def _lean_table(rows: list[dict]) -> list[str]:
    """A storage a line, its intervals beside each other."""
    found = {(row["shape"].rpartition(" ")[2], row["impl"]): row for row in rows}
    header, cells = ["storage"], []
    for interval in LEAN_INTERVALS:
        header += [f"interval {interval}: cached / full step", "overhead of full steps"]
        header += ["speed-up", "counted", "cache, MiB"]
    for name in configs(LEAN_INTERVALS[0]):
        each = [found.get((str(interval), name)) for interval in LEAN_INTERVALS]
        cells.append([name, *(cell for row in each for cell in _lean_cells(row))])
    return lines_of(header, cells)


def _lean_cells(row: dict | None) -> list[str]:
    if row is None:
        return [MISSING, "", "", "", ""]
    speedups = [f"{row[key]:.2f}x" for key in ("speedup", "counted_speedup")]
    cached, overhead = f"{row['cached_step']:.3f}", f"{row['full_overhead']:+.1%}"
    return [cached, overhead, *speedups, f"{row['cache_mib']:.0f}"]


# ---- denoising loops

TIMES = {
    "seconds": "seconds",
    "speedup": "speed-up",
    "counted_speedup": "counted",
    "full_ms": "full step, ms",
    "full_overhead": "over no cache's",
    "cached_ms": "cached step, ms",
    "cached_kernels": "its kernels",
    "cached_kernels_ms": "they take, ms",
    "cached_graph_ms": "in a graph, ms",
    "cache_gib": "cache, GiB",
    "estimated_gib": "estimated",
    "peak_gib": "peak, GiB",
}
OF_CACHES = {key for key in TIMES if key.startswith("cache")}
FORMS = {"full_overhead": "{:+.1%}", "cache_gib": "{:.3g}", "estimated_gib": "{:.3g}"}


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
Models of real size with random weights, the transformer alone, with equally many full steps in
every row. *torch*: the paper's cached step in plain torch, held against ours by
`tests/test_paper_cache.py`; *sums compiled*: its sums under `torch.compile`, as in its code. A
step's time is that between two events around it, of cached ones the mean; the time of their kernels
leaves out launches and waiting; in a graph: the forward of an interval's last one, replayed.
*Counted* is the speed-up that counted operations promise, *estimated* what `estimate_memory` says
of the device's memory. Goals of lean storage: a full step at most 3 % over that without a cache, a
cached one of HunyuanVideo 720p at most 0.1 % of a full one. What the rows are is said in
[bench/README.md](../bench/README.md)."""


def gpu_table(device: str, shape: str, rows: list[dict]) -> list[str]:
    """Every row that is expected, whether it was measured or not."""
    name = shape.partition(" ")[0]
    described = MODELS[name]
    found = {(row["shape"], row["impl"]): row for row in rows}
    expected = list(rows_of(described, INTERVAL, STEPS, compiles=True))
    full = len(expected[0].full)
    if described.is_composed:
        expected = list(composed_rows(described))
    cells = [[BASELINE, f"{STEPS} + 0", *_numbers(found.get((shape, BASELINE), {}), False)]]
    cells[0] += [""] * len(OTHER_INTERVALS)
    for row in expected:
        measured = found.get((f"{shape}, interval {INTERVAL}", row.name), {})
        others = [
            found.get((f"{shape}, interval {other}", row.name), {}) for other in OTHER_INTERVALS
        ]
        counts = f"{full} + {STEPS - full if row.cached else 0}"
        numbers = _numbers(measured, bool(row.cached))
        speedups = [str(other.get("speedup", MISSING)) for other in others]
        cells.append([row.name, counts, *numbers, *speedups])
    of_model = [row for row in rows if row["shape"].startswith(f"{name} ")]
    commits = sorted({row["commit"] for row in of_model})
    commit = f"commit {', '.join(commits)}" if commits else MISSING
    command = f"`python bench/end_to_end.py --models {name}`"
    composed = ", composed of three full and five cached steps" if described.is_composed else ""
    above = f"{device}; {shape}, interval {INTERVAL}{composed}, bfloat16; {command}; {commit}."
    at = [f"at {other}" for other in OTHER_INTERVALS]
    header = ["method", "full + cached", *TIMES.values(), *at]
    return [above, "", *lines_of(header, cells), ""]


def _numbers(measured: dict, is_cached: bool) -> list[str]:
    shown = {key: str(value) for key, value in measured.items()}
    shown |= {key: form.format(measured[key]) for key, form in FORMS.items() if key in measured}
    if "seconds" not in measured or "doubt" in measured:
        why = measured.get("doubt") or measured.get("note", MISSING)
        shown = {"seconds": why, "estimated_gib": shown.get("estimated_gib", "")}
    shown.setdefault("cached_graph_ms", measured.get("no_graph", ""))
    return ["" if key in OF_CACHES and not is_cached else shown.get(key, "") for key in TIMES]


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
