"""The laboratory's rows as tables in markdown."""

import pathlib
import re
from collections.abc import Callable
from statistics import mean

from clusca_ext.demo.judge import Estimate
from clusca_ext.lab import metrics
from clusca_ext.lab.comparison import Baseline, Group, Over
from clusca_ext.lab.grid import settings
from clusca_ext.lab.journal import Row
from clusca_ext.lab.methods import BASELINE, BASELINE_ORDER, all_methods
from clusca_ext.lab.times import time_ratio

MISSING, NONE = "not measured", "–"

Cell = Callable[[Row], str]


def name_of(group: Group) -> str:
    """What the files and markers of a group are called."""
    words = f"{pathlib.Path(group.model).name} {group.kind}"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def plus_minus(value: Estimate, form: str = ".2f") -> str:
    if value.error != value.error:
        return format(value.mean, form)
    return f"{value.mean:{form}} ± {value.error:{form.lstrip('+')}}"


def difference(over: Over | None) -> str:
    if over is None:
        return MISSING
    text = plus_minus(over.value, "+.2f").replace("-0.00", "+0.00")
    text = f"~{text}" if over.interpolated else text
    return f"**{text}**" if over.is_beyond else text


def quality_of(baseline: Baseline) -> Cell:
    """PSNR, and above the baseline's."""

    def cell(row: Row) -> str:
        psnr = plus_minus(metrics.mean_of(row["psnr_db"]))
        if (row["method"], row["order"]) == (BASELINE, BASELINE_ORDER):
            return psnr
        return f"{psnr}, {difference(baseline.over(row))}"

    return cell


def perceived(row: Row) -> str:
    """Feature distance and Frechet distance."""
    if row["distance"] is None:
        return MISSING
    if row["frechet"] is None:
        return f"{plus_minus(metrics.mean_of(row['distance']), '.3g')}; {MISSING}"
    mean, error = row["frechet"]
    frechet = Estimate(mean, float("nan") if error is None else error)
    return f"{plus_minus(metrics.mean_of(row['distance']), '.3g')}; {plus_minus(frechet, '.3g')}"


def cost_of(group: Group) -> Cell:
    """Steps, measured time where the machine was quiet, counted operations."""

    def cell(row: Row) -> str:
        kinds = {"full": "", "partial": " of single modules", "cached": ""}
        steps = " + ".join(f"{row[kind]:g}{words}" for kind, words in kinds.items() if row[kind])
        operations = f"{row['operations']:.2f}x" if row["operations"] else MISSING
        time = f"{plus_minus(time_ratio(row))}x" if group.is_timed(row) else MISSING
        return f"{steps or MISSING}; {time}; {operations}"

    return cell


def lines_of(header: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *rows]]


def table(group: Group, cell: Cell) -> list[str]:
    """A line a method and order, a column an interval; a dash where a method has none there."""
    # The baseline alone stands at more of them, for what chooses its own number of full steps.
    others = {row["interval"] for row in group.rows if row["method"] != BASELINE}
    intervals = sorted(others or {row["interval"] for row in group.rows})
    known = all_methods()
    by_place = {(row["method"], row["order"], row["interval"]): row for row in group.rows}
    names = sorted(
        {place[:2] for place in by_place},
        key=lambda name: (known.index(name[0]) if name[0] in known else len(known), name),
    )
    rows = []
    for method, order in names:
        found = [
            (by_place.get((method, order, each)), _exists(group, method, each))
            for each in intervals
        ]
        cells = [_cell(row, cell) if row else MISSING if has else NONE for row, has in found]
        rows.append([f"`{method}`", str(order), *cells])
    return lines_of(["method", "order", *(f"interval {each}" for each in intervals)], rows)


def _cell(row: Row, cell: Cell) -> str:
    return "failed" if row["error"] else cell(row)


def _exists(group: Group, method: str, interval: int) -> bool:
    """Whether a method has a configuration at an interval, of any order."""
    known = method in all_methods()
    return not known or bool(settings([method], [interval], model=group.fitted_to))


def summary(group: Group) -> list[str]:
    """A line a method and order: what it is above the baseline at all its intervals, best first."""
    baseline = Baseline(group)
    found: dict[tuple[str, int], list[tuple[int, Over]]] = {}
    for row in group.good:
        over = baseline.over(row)
        name = row["method"], row["order"]
        if over is not None and name != (BASELINE, BASELINE_ORDER):
            found.setdefault(name, []).append((row["interval"], over))

    def gain(name: tuple[str, int]) -> float:
        return mean(over.value.mean for _, over in found[name])

    rows = []
    for name in sorted(found, key=gain, reverse=True):
        overs = [over for _, over in found[name]]
        beyond = [over.value.mean > 0 for over in overs if over.is_beyond]
        low, high = (pick(over.value.mean for over in overs) for pick in (min, max))
        span = f"{low:+.2f}" if len(overs) == 1 else f"{low:+.2f} to {high:+.2f}"
        intervals = ", ".join(str(interval) for interval, _ in sorted(found[name], key=_interval))
        counts = f"{sum(beyond)}, {len(beyond) - sum(beyond)}"
        rows.append([f"`{name[0]}`", str(name[1]), intervals, span, counts])
    return lines_of(["method", "order", "intervals", "over the baseline, dB", "gains, loses"], rows)


def _interval(pair: tuple[int, Over]) -> int:
    return pair[0]
