"""Operators' results as markdown tables.

Ratios are of medians of one run. Of CPUs nothing else is shown: they are shared, their times vary.
"x at the roof" is the best peer's time over the roofline: that of a copy of the same bytes or of a
matrix product with the same multiply-adds, whichever takes longer.
"""

from collections import defaultdict
from collections.abc import Iterable

from report_cases import FORMS, MISSING, PEERS, Result, by_operator
from steps import operators

COMMAND = "`python -m pytest bench/bench_<operator>.py`"
COMMON = ("torch", "compile", "graph")  # peers of every operator; k-means has more
BEST = "best peer / ours"
CPU_HEADER = ["torch", "compile", BEST, "of copy speed", "of gemm speed", "goal"]
GPU_TIMES = ("clusca", *COMMON, "copy")
GPU_HEADER = [*(f"{impl} us" for impl in GPU_TIMES), BEST, "of copy speed", "of gemm speed", "goal"]
KMEANS_TIMES = ("clusca", *FORMS, *(peer for peer in PEERS if peer not in COMMON))
KMEANS_HEADER = [f"{impl} us" for impl in KMEANS_TIMES]


def times_over(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}x"


def share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def microseconds(each: Result, impl: str) -> str:
    value = each.times.get(impl)
    if value is None:
        return each.notes.get(impl, MISSING)
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def cpu_verdict(each: Result) -> str:
    """Whether a row reaches its goal and, if not, whether the machine would let it."""
    if each.meets is None or each.at_roof is None:
        return MISSING
    return "met" if each.meets else f"missed; {each.at_roof:.2f}x at the roof"


def cpu_cells(each: Result) -> list[str]:
    """Ratios: each peer's time over ours, the best one's, the roofs' over ours, the verdict."""
    peers = [each.over("torch"), each.over("compile"), each.over_best]
    roofs = [each.over("copy"), each.over("gemm")]
    return [*map(times_over, peers), *map(share, roofs), cpu_verdict(each)]


def gpu_cells(each: Result) -> list[str]:
    """Times, the best peer's over ours, the roofs' over ours, the verdict."""
    copy = share(each.over("copy")) or MISSING
    verdict = {True: "met", False: "missed", None: ""}[each.meets]
    times = [microseconds(each, impl) for impl in GPU_TIMES]
    return [*times, times_over(each.over_best), copy, share(each.over("gemm")), verdict]


def kmeans_cells(each: Result) -> list[str]:
    return [microseconds(each, impl) for impl in KMEANS_TIMES]


def lines_of(header: list[str], rows: list[list[str]]) -> list[str]:
    every = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in every]


def table(results: Iterable[Result], header: list[str], cells) -> list[str]:
    names = ["operator", "shape", "dtype"]
    rows = [[f"`{each.operator}`", each.shape, each.dtype, *cells(each)] for each in results]
    return lines_of([*names, *header], rows)


def tables(results: list[Result]) -> list[str]:
    """One for every commit and device; on a GPU another of what only k-means is measured with."""
    origins: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for each in results:
        origins[each.origin].append(each)
    lines = []
    for (device, commit, torch), found in origins.items():
        above = f"{device}; {COMMAND}; commit {commit}, torch {torch}."
        on_cpu = found[0].on_cpu
        header, cells = (CPU_HEADER, cpu_cells) if on_cpu else (GPU_HEADER, gpu_cells)
        lines += [above, "", *table(found, header, cells), ""]
        more = {*KMEANS_TIMES[1:]}
        of_kmeans = [each for each in found if more & {*each.times, *each.notes}]
        if of_kmeans:
            above = f"k-means' other kernels and peers; {above}"
            lines += [above, "", *table(of_kmeans, KMEANS_HEADER, kmeans_cells), ""]
    return lines


# ---- an operator a row


def between(values: list[float | None], form: str) -> str:
    """The lowest and the highest of them."""
    known = [value for value in values if value is not None]
    if not known:
        return MISSING
    low, high = (form.format(value) for value in (min(known), max(known)))
    return low if low == high else f"{low} to {high}"


def summary_cells(results: list[Result]) -> list[str]:
    if not results:
        return [MISSING, "", ""]
    verdicts = [each.meets for each in results if each.meets is not None]
    return [
        between([each.over_best for each in results], "{:.2f}x"),
        between([each.over("copy") for each in results], "{:.0%}"),
        f"{sum(verdicts)} of {len(verdicts)}" if verdicts else "",
    ]


def summary(results: list[Result]) -> list[str]:
    """Every operator, measured or not; of a device that was not, that alone is said."""
    found = by_operator(results)
    devices = sorted({each.origin[0] for each in results})
    above = [f"{'; '.join(devices)}; {COMMAND}"] if devices else [COMMAND]
    commits = sorted({each.origin[1] for each in results})
    above += [f"commit {', '.join(commits)}." if commits else f"{MISSING}."]
    rows = []
    for operator in operators():
        by_device = [
            [each for each in found[operator] if each.on_cpu == on_cpu] for on_cpu in (True, False)
        ]
        cells = [cell for each in by_device for cell in summary_cells(each)]
        rows.append([f"`{operator}`", *cells])
    columns = [BEST, "of copy speed", "goals met"]
    header = [f"{device}: {column}" for device in ("CPU", "GPU") for column in columns]
    return ["; ".join(above), "", *lines_of(["operator", *header], rows)]
