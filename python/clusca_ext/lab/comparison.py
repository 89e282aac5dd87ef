"""What rows say beside bounded Taylor at equal full steps, paired by sample."""

import json
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


@dataclass(frozen=True)
class Over:
    """A difference to the baseline.

    Attributes:
        value: PSNR above the baseline's, dB.
        interpolated: Whether the baseline was interpolated between two numbers of full steps.
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
    return bool(json.loads(json.dumps(config.to_dict())) == row["config"])  # no tuples in a file


def work(row: Row) -> float | None:
    """Full steps of a row.

    Where a step computes some of its modules, they are as many as its operations amount to.
    """
    if not row["partial"]:
        full: float | None = row["full"]
        return full
    return row["steps"] / row["operations"] if row["operations"] else None


class Curve:
    """PSNR of the same samples at several numbers of full steps.

    Args:
        points: Numbers of full steps, each with every sample's PSNR.
    """

    def __init__(self, points: Iterable[tuple[float, list[float]]]) -> None:
        self._points = sorted(dict(points).items())

    def under(self, at: float, psnr: list[float]) -> Over | None:
        """What samples are above it; None where fewer or more full steps were not measured.

        Between two numbers of full steps each sample's PSNR is interpolated.
        """
        below = [point for point in self._points if point[0] <= at]
        above = [point for point in self._points if point[0] >= at]
        if not below or not above:
            return None
        (low, first), (high, last) = below[-1], above[0]
        share = 0.0 if high == low else (at - low) / (high - low)
        values = [a + share * (b - a) for a, b in zip(first, last, strict=True)]
        return Over(metrics.paired(psnr, values), high != low)


class Baseline:
    """Bounded Taylor of order 1, evenly placed, at every number of full steps it was measured."""

    def __init__(self, group: Group) -> None:
        self._curve = Curve(
            (row["full"], row["psnr_db"])
            for row in group.good
            if (row["method"], row["order"]) == (BASELINE, BASELINE_ORDER)
        )

    def over(self, row: Row) -> Over | None:
        """What a row is above it; None where it was not measured with as many full steps."""
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
