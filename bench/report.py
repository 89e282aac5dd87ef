"""Prints the results as markdown: python bench/report.py [RESULTS.json ...]

Ratios are of medians of one run. Of CPUs nothing else is shown: they are shared, their times vary.
"x at the roof" is the best peer's time over the roofline: that of a copy of the same bytes or of a
matrix product with the same multiply-adds, whichever takes longer.
"""

import pathlib
import sys
from collections import defaultdict

FOLDER = pathlib.Path(__file__).parent / "results"
PEERS = ("torch", "compile", "graph")
ROOFS = ("copy", "gemm")
MISSING = "not measured"
CPU_GOAL = {"bfloat16": 3.0}  # best peer / ours; other dtypes:
OTHER_GOAL = 1.5


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


def table(rows: list[dict]) -> list[str]:
    """The rows of one op on one device."""
    on_cpu = rows[0]["device"].endswith("cores")
    cells, header = (cpu_cells, CPU_HEADER) if on_cpu else (gpu_cells, GPU_HEADER)
    times: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        times[row["shape"], row["dtype"]][row["impl"]] = row["median_us"]
    names = ["shape", "dtype", *header]
    lines = [names, ["---"] * len(names)]
    lines += [[*case, *cells(by_impl, case[1])] for case, by_impl in times.items()]
    return [f"| {' | '.join(line)} |" for line in lines]


def report(rows: list[dict]) -> str:
    devices: dict[str, dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        devices[row["device"]][row["bench"]].append(row)
    lines = []
    for device, benches in devices.items():
        lines += [f"# {device}", ""]
        for bench, measured in benches.items():
            origins = sorted({f"commit {row['commit']}, torch {row['torch']}" for row in measured})
            lines += [f"## {bench}", "", "; ".join(origins), "", *table(measured), ""]
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    # Not at the top: results.py imports torch, which this does not need to print help.
    from results import read

    paths = [pathlib.Path(name) for name in arguments] or sorted(FOLDER.glob("*.json"))
    rows = [
        row
        for path in paths
        if not path.stem.endswith(("-run", "-demo", "-placement"))
        for row in read(path)
    ]
    print(report(rows) if rows else f"nothing was measured: no rows in {FOLDER}")


if __name__ == "__main__":
    main(sys.argv[1:])
