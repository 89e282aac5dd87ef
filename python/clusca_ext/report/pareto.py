"""Points of quality against speed, of recorded runs and of rows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from clusca_ext.recording import Recording
from clusca_ext.report.speed import seconds_of

SPEED, FEWER = "times as fast as the reference", "times fewer operations, counted"
PSNR = "PSNR to the reference, dB"

Row = Mapping[str, Any]


def groups(runs: Sequence[Recording], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every set of points that can be compared, as the page draws it; empty ones are left out."""
    found = [of_runs(runs), *of_demo(rows), *of_lab(rows)]
    return [_with_front(group) for group in found if group["points"]]


def of_runs(runs: Sequence[Recording]) -> dict[str, Any]:
    """Recorded runs that drew the pictures of the first one."""
    points = []
    for run in runs[1:]:
        finite = [value for value in run.psnr_db or () if math.isfinite(value)]
        speed = seconds_of(runs[0], run)
        if finite and speed is not None:
            points.append(_point(run.name, (speed[0] / speed[1], None), _mean(finite)))
    several = points if len(points) > 1 else []  # of one the page's figures say it all
    return {"title": "The runs of this document", "x": SPEED, "y": PSNR, "points": several}


def of_demo(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as ``bench/demo.py`` and ``clusca demo --record`` write them, by machine and size."""
    by_origin: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        pair, speed = row.get("psnr_db"), row.get("speedup")
        if row.get("bench") != "demo" or not _is_pair(pair) or not _is_number(speed):
            continue
        assert isinstance(pair, Sequence)
        shape = str(row.get("shape", "")).partition(", interval")[0]
        origin = f"Demonstration: {shape}, {row.get('device', 'machine not known')}"
        name = f"{row.get('impl')}, interval {row.get('interval')}"
        points = by_origin.setdefault(origin, [])
        points.append(_point(name, (speed, None), (pair[0], pair[1])))
    return [{"title": t, "x": SPEED, "y": PSNR, "points": p} for t, p in by_origin.items()]


def of_lab(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows of a journal of ``clusca lab``: by the time of those measured on a quiet machine, and
    all by counted operations.

    Raises:
        ValueError: They are not rows of the laboratory.
    """
    journal = [dict(row) for row in rows if row.get("bench") == "lab"]
    if not journal:
        return []
    # It knows every method, and so imports all of them.
    from clusca_ext.demo.judge import Estimate
    from clusca_ext.lab import comparison, metrics, times

    found = []
    try:
        for group in comparison.groups(journal):
            title = f"Laboratory: {group.model}, {group.steps} steps, n={group.samples}, "
            machines = {SPEED: group.machine, FEWER: group.kind}
            speeds: dict[str, list[tuple[dict[str, Any], Estimate | None]]] = {
                SPEED: [(row, times.time_ratio(row)) for row in group.timed],
                FEWER: [(row, comparison.counted(row)) for row in group.good],
            }
            for what, rows_at in speeds.items():
                points = []
                for row, speed in rows_at:
                    if speed is None:
                        continue
                    quality = metrics.mean_of(row["psnr_db"])
                    name = f"{row['method']}, interval {row['interval']}, order {row['order']}"
                    both = (speed.mean, speed.error), (quality.mean, quality.error)
                    points.append(_point(name, *both))
                found.append(
                    {"title": title + machines[what], "x": what, "y": PSNR, "points": points}
                )
    except (KeyError, IndexError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(
            f"rows of the laboratory must be as clusca lab writes them, got {error!r}"
        ) from None
    return found


def _point(name: str, x: tuple[Any, float | None], y: tuple[Any, float | None]) -> dict[str, Any]:
    return {"name": name, "x": x[0], "xe": _finite(x[1]), "y": y[0], "ye": _finite(y[1])}


def _finite(error: float | None) -> float | None:
    return error if error is not None and math.isfinite(error) else None


def _mean(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and its standard error; None: of one value there is none."""
    count, mean = len(values), sum(values) / len(values)
    if count < 2:
        return mean, None
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    return mean, math.sqrt(variance / count)


def _with_front(group: dict[str, Any]) -> dict[str, Any]:
    """Says of each point whether no other is better in both; fastest first."""
    best = -math.inf
    points = sorted(group["points"], key=lambda point: (-point["x"], -point["y"]))
    for point in points:
        point["front"] = point["y"] > best
        best = max(best, point["y"])
    return group | {"points": points}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value))
