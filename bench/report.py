"""Prints the results as markdown: python bench/report.py [RESULTS.json ...]

Ratios are of medians of one run. Of CPUs nothing else is shown: they are shared, their times vary.
"""

import pathlib
import sys
from collections import defaultdict

FOLDER = pathlib.Path(__file__).parent / "results"
PEERS = ("torch", "compile", "graph")
MISSING = "not measured"


def ratio(value: float | None, ours: float | None) -> str:
    return f"{value / ours:.2f}x" if value and ours else MISSING


def microseconds(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def cells(times: dict[str, float], peers: list[str], absolute: bool) -> list[str]:
    """One case: times if wanted, each peer's time over ours, the best one's, a copy's."""
    ours, copy = times.get("clusca"), times.get("copy")
    measured = [times[peer] for peer in peers if peer in times]
    found = [microseconds(times.get(impl)) for impl in ("clusca", *peers, "copy") if absolute]
    if not absolute:
        found += [ratio(times.get(peer), ours) for peer in peers]
    found.append(ratio(min(measured, default=None), ours))
    found.append(f"{copy / ours:.0%}" if copy and ours else MISSING)
    return found


def header(peers: list[str], absolute: bool) -> list[str]:
    each = [f"{impl} us" for impl in ("clusca", *peers, "copy")] if absolute else list(peers)
    return ["shape", "dtype", *each, "best peer / ours", "of copy bandwidth"]


def table(rows: list[dict]) -> list[str]:
    """The rows of one op on one device."""
    absolute = not rows[0]["device"].endswith("cores")
    peers = [peer for peer in PEERS if absolute or peer != "graph"]
    times: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        times[row["shape"], row["dtype"]][row["impl"]] = row["median_us"]
    names = header(peers, absolute)
    lines = [names, ["---"] * len(names)]
    lines += [[*case, *cells(by_impl, peers, absolute)] for case, by_impl in times.items()]
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
