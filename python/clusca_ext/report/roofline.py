"""How near operators are to their roofs, of the rows of a benchmark.

A roof is the time of a copy of the same bytes or of a matrix product of the same multiply-adds in
the same run, whichever is longer; a speed is a share of the roof's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

OURS, ROOFS = "clusca", ("copy", "gemm")
ROOF_NAMES = {"copy": "a copy of its bytes", "gemm": "a product of its multiply-adds"}
PEERS = ("torch", "compile", "graph", "torch-graph", "flash", "flash-graph")

Row = Mapping[str, Any]


def groups(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Points by machine, type and release; cases without a roof have none."""
    cases: dict[tuple[str, ...], dict[str, float]] = {}
    for row in rows:
        time = row.get("median_us")
        if isinstance(time, (int, float)) and not isinstance(time, bool) and time > 0:
            names = ("device", "dtype", "commit", "bench", "shape")
            key = tuple(str(row.get(name, "not known")) for name in names)
            cases.setdefault(key, {})[str(row.get("impl"))] = float(time)
    found: dict[str, list[dict[str, Any]]] = {}
    for (device, dtype, commit, operator, shape), times in cases.items():
        roof = max((r for r in ROOFS if r in times), key=times.__getitem__, default=None)
        if roof is None or OURS not in times:
            continue
        peer = min((p for p in PEERS if p in times), key=times.__getitem__, default=None)
        point = {
            "operator": operator,
            "shape": shape,
            "roof": ROOF_NAMES[roof],
            "ours": times[roof] / times[OURS],
            "peer": None if peer is None else times[roof] / times[peer],
            "peerName": peer,
            "us": times[OURS],
        }
        found.setdefault(f"{device}, {dtype}, commit {commit}", []).append(point)
    return [
        {"title": title, "points": sorted(points, key=lambda p: (p["operator"], p["shape"]))}
        for title, points in sorted(found.items())
    ]
