"""What rows say beside bounded Taylor at equal operations, paired by sample."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from clusca_ext.demo.judge import Estimate
from clusca_ext.lab import metrics
from clusca_ext.lab.journal import Row
from clusca_ext.lab.methods import BASELINE, BASELINE_ORDER, METHODS
from clusca_ext.quiet import is_quiet

SEEN = 0.005  # dB; a smaller difference is none
SAME = 0.01  # operations that differ by less are as many


@dataclass(frozen=True)
class Over:
    """A difference to the baseline.

    Attributes:
        value: PSNR above the baseline's, dB.
        interpolated: Whether the baseline was interpolated between two of its points.
    """

    value: Estimate
    interpolated: bool

    @property
    def is_beyond(self) -> bool:
        """Whether it lies beyond two standard errors, and is large enough to be seen."""
        return abs(self.value.mean) > 2 * self.value.error and abs(self.value.mean) >= SEEN


@dataclass(frozen=True)
class Group:
    """Rows that can be compared: of one model, sampler and machine, with the same samples."""

    model: str
    steps: int | None
    samples: int
    machine: str
    rows: tuple[Row, ...]

    @property
    def good(self) -> list[Row]:
        return [row for row in self.rows if row["error"] is None]

    @property
    def different(self) -> list[Row]:
        """Those that are measured by themselves: not by a setting that draws the same."""
        return [row for row in self.good if "same_as" not in row]

    @property
    def timed(self) -> list[Row]:
        return [row for row in self.good if is_timed(row)]

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.rows if row["error"] is not None]


def groups(rows: Iterable[Row]) -> list[Group]:
    """Rows of the laboratory by what they may be compared with; the newest of each setting.

    Of a model that was trained on, rows of its newest weights.
    """
    found: dict[tuple[str, int | None, int, str], dict[tuple[Any, ...], Row]] = {}
    lab = [row for row in rows if row.get("bench") == "lab"]
    newest = {_where(row): row["weights"] for row in lab}
    for row in lab:
        where = _where(row)
        if row["weights"] == newest[where] and _is_todays(row):
            what = row["method"], row["interval"], row["order"]
            found.setdefault(where, {}).pop(what, None)
            found[where][what] = row
    return [
        Group(model, steps, samples, machine, tuple(found[model, steps, samples, machine].values()))
        for model, steps, samples, machine in sorted(found, key=str)
    ]


def _where(row: Row) -> tuple[str, int | None, int, str]:
    return row["model"], row["steps"], row["samples"], row["machine"]


def _is_todays(row: Row) -> bool:
    """Whether its method is still configured as it was then; one that is gone says so itself."""
    if row["method"] not in METHODS or row["error"] is not None:
        return True
    config = METHODS[row["method"]](row["interval"], row["order"])
    if config is None:
        return False
    return bool(config.to_dict() == row["config"])


def work(row: Row) -> float | None:
    """Full steps that a row amounts to, by its counted operations.

    So what cached steps compute, as blocks that are verified or tokens that are corrected, counts
    as what it is. Where operations were not seen it is the number of full steps, if no step
    computes single modules.
    """
    if row["operations"]:
        return float((row["steps"] or 1) / row["operations"])
    full: float | None = None if row["partial"] else row["full"]
    return full


class Curve:
    """PSNR of the same samples with more and less work.

    Args:
        points: Full steps' worth of work (``work``), each with every sample's PSNR.
    """

    def __init__(self, points: Iterable[tuple[float, list[float]]]) -> None:
        self._points = sorted(dict(points).items())

    def under(self, at: float, psnr: list[float]) -> Over | None:
        """What samples are above it; None where as little or as much work was not measured.

        Between two points each sample's PSNR is interpolated; one within 1 % is taken as it is.
        """
        if not self._points:
            return None
        nearest, there = min(self._points, key=lambda point: abs(point[0] - at))
        if abs(nearest - at) <= SAME * at:
            return Over(metrics.paired(psnr, there), interpolated=False)
        below = [point for point in self._points if point[0] <= at]
        above = [point for point in self._points if point[0] >= at]
        if not below or not above:
            return None
        (low, first), (high, last) = below[-1], above[0]
        share = (at - low) / (high - low)
        values = [a + share * (b - a) for a, b in zip(first, last, strict=True)]
        return Over(metrics.paired(psnr, values), interpolated=True)


class Baseline:
    """Bounded Taylor of order 1, evenly placed, at every interval it was measured at."""

    def __init__(self, group: Group) -> None:
        self._curve = Curve(
            (at, row["psnr_db"])
            for row in group.good
            if (row["method"], row["order"]) == (BASELINE, BASELINE_ORDER)
            and (at := work(row)) is not None
        )

    def over(self, row: Row) -> Over | None:
        """What a row is above it at equal work; None where that was not measured."""
        at = work(row)
        return None if at is None else self._curve.under(at, row["psnr_db"])


def is_timed(row: Row) -> bool:
    """Whether a row's time is worth telling: the machine was quiet while it was measured.

    The full sampler took as long right after the setting as right before it, and the median of its
    own batches about as long as the fastest.
    """
    if row["error"] or not is_quiet(row["full_seconds"]):
        return False
    return is_quiet([median(row["seconds"]), min(row["seconds"])])


def time_ratio(row: Row) -> Estimate:
    """The full sampler's time over a row's, taken right before and after it."""
    return metrics.speedup(mean(row["full_seconds"]), row["seconds"])


def counted(row: Row) -> Estimate | None:
    """The same of operations; None where none were seen."""
    return Estimate(row["operations"], float("nan")) if row["operations"] else None
