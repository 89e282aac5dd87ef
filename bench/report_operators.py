"""Operators' results as markdown tables.

Ratios are of medians of one run. Of CPUs nothing else is shown: they are shared, their times vary.
"x at the roof" is the best peer's time over the roofline: that of a copy of the same bytes or of a
matrix product with the same multiply-adds, whichever takes longer.
"""

from collections import defaultdict

from steps import operators

MISSING = "not measured"
PEERS = ("torch", "compile", "graph")
ROOFS = ("copy", "gemm")
CPU_GOAL = {"bfloat16": 3.0}  # best peer / ours; other dtypes:
OTHER_GOAL = 1.5
SHOWN = {"dit-xl-512", "flux-1024"}
CHOICES = {"K64", "K256", "O2", "O4", "S3", "l1", "delta"}  # beside an operator's first ones


def ratio(value: float | None, ours: float | None) -> str:
    return f"{value / ours:.2f}x" if value and ours else MISSING


def microseconds(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def verdict(dtype: str, ours: float | None, best: float | None, roof: float | None) -> str:
    """Whether a CPU row reaches its goal and, if not, whether the machine would let it."""
    if not (ours and best and roof):
        return MISSING
    goal = CPU_GOAL.get(dtype, OTHER_GOAL)
    if best / ours >= goal:
        return "met"
    return f"missed; {best / roof:.2f}x at the roof"


def cpu_cells(times: dict[str, float], dtype: str) -> list[str]:
    """Ratios: each peer's time over ours, the best one's, the roofs' over ours, the verdict."""
    ours, peers = times.get("clusca"), PEERS[:2]
    best = min((times[peer] for peer in peers if peer in times), default=None)
    roofs = [times[roof] for roof in ROOFS if roof in times]
    return [
        *(ratio(times.get(peer), ours) for peer in peers),
        ratio(best, ours),
        *(f"{times[roof] / ours:.0%}" if ours and roof in times else "" for roof in ROOFS),
        verdict(dtype, ours, best, max(roofs, default=None)),
    ]


def gpu_cells(times: dict[str, float], dtype: str) -> list[str]:
    """Times, the best peer's over ours, a copy's over ours."""
    ours, copy = times.get("clusca"), times.get("copy")
    best = min((times[peer] for peer in PEERS if peer in times), default=None)
    return [
        *(microseconds(times.get(impl)) for impl in ("clusca", *PEERS, "copy")),
        ratio(best, ours),
        f"{copy / ours:.0%}" if copy and ours else MISSING,
    ]


BEST = "best peer / ours"
CPU_HEADER = [*PEERS[:2], BEST, "of copy speed", "of gemm speed", "goal"]
GPU_HEADER = [*(f"{impl} us" for impl in ("clusca", *PEERS, "copy")), BEST, "of copy speed"]


def is_cpu(row: dict) -> bool:
    return row["device"].endswith("cores")


def lines_of(header: list[str], rows: list[list[str]]) -> list[str]:
    every = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in every]


def table(rows: list[dict]) -> list[str]:
    """The rows of one commit on one device."""
    on_cpu = is_cpu(rows[0])
    cells, header = (cpu_cells, CPU_HEADER) if on_cpu else (gpu_cells, GPU_HEADER)
    times: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        shape = row["shape"].removesuffix(" warm") if on_cpu else row["shape"]
        times[f"`{row['bench']}`", shape, row["dtype"]][row["impl"]] = row["median_us"]
    names = ["operator", "shape", "dtype", *header]
    return lines_of(names, [[*case, *cells(by_impl, case[2])] for case, by_impl in times.items()])


def section(rows: list[dict], complete: bool) -> list[str]:
    """All operators, and which of them have no result.

    Args:
        rows: Of any bench.
        complete: All rows; else of GPUs one dtype, and the caches as a model leaves them, of CPUs
            two models, and the first of an operator's choices.
    """
    rows = [row for row in rows if "median_us" in row]
    shown = [row for row in rows if complete or _is_typical(row)]
    origins: dict[tuple[str, str, str], list[dict]] = defaultdict(list)
    for row in shown:
        origins[row["device"], row["commit"], row["torch"]].append(row)
    lines = ["## Operators", ""]
    for (device, commit, torch), measured in origins.items():
        command = "`python -m pytest bench/bench_<operator>.py`"
        lines += [f"{device}; {command}; commit {commit}, torch {torch}.", "", *table(measured), ""]
    found = {(row["bench"], is_cpu(row)) for row in rows}
    absent = [
        [f"`{op}`", *("above" if (op, cpu) in found else MISSING for cpu in (True, False))]
        for op in operators()
        if not {(op, True), (op, False)} <= found
    ]
    if absent:
        lines += [
            "Every shape of `bench/shapes.py`; `python -m pytest bench/bench_<operator>.py`.",
            "",
        ]
        lines += [*lines_of(["operator", "on a CPU", "on a GPU"], absent), ""]
    return lines


def _is_typical(row: dict) -> bool:
    words = set(row["shape"].split())
    if is_cpu(row):
        return bool(words & SHOWN) and not words & CHOICES
    return row["shape"].endswith(" cold") and row["dtype"] in ("bfloat16", "int32")
