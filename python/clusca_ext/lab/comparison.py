"""What rows say beside bounded Taylor at equal full steps, paired by sample."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from clusca_ext.demo.judge import Estimate
from clusca_ext.lab import metrics
from clusca_ext.lab.journal import Row
from clusca_ext.lab.methods import BASELINE, BASELINE_ORDER

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
    def failed(self) -> list[Row]:
        return [row for row in self.rows if row["error"] is not None]


def groups(rows: Iterable[Row]) -> list[Group]:
    """Rows of the laboratory by what they may be compared with; the newest of each setting."""
    found: dict[tuple[str, int | None, int, str], dict[tuple[Any, ...], Row]] = {}
    for row in rows:
        if row.get("bench") == "lab":
            where = row["model"], row["steps"], row["samples"], row["machine"]
            what = row["method"], row["interval"], row["order"]
            found.setdefault(where, {}).pop(what, None)
            found[where][what] = row
    return [
        Group(model, steps, samples, machine, tuple(found[model, steps, samples, machine].values()))
        for model, steps, samples, machine in sorted(found, key=str)
    ]


def work(row: Row) -> float | None:
    """Full steps of a row.

    Where a step computes some of its modules, they are as many as its operations amount to.
    """
    if not row["partial"]:
        full: float | None = row["full"]
        return full
    return row["steps"] / row["operations"] if row["operations"] else None


class Baseline:
    """Bounded Taylor of order 1, evenly placed, at every number of full steps it was measured."""

    def __init__(self, group: Group) -> None:
        points: dict[float, list[float]] = {}
        for row in group.good:
            if (row["method"], row["order"]) == (BASELINE, BASELINE_ORDER):
                points[row["full"]] = row["psnr_db"]
        self._points = sorted(points.items())

    def over(self, row: Row) -> Over | None:
        """What a row is above it; None where it was not measured with as many full steps.

        Between two numbers of full steps each sample's PSNR is interpolated.
        """
        at = work(row)
        if at is None:
            return None
        below = [point for point in self._points if point[0] <= at]
        above = [point for point in self._points if point[0] >= at]
        if not below or not above:
            return None
        (low, first), (high, last) = below[-1], above[0]
        share = 0.0 if high == low else (at - low) / (high - low)
        values = [a + share * (b - a) for a, b in zip(first, last, strict=True)]
        return Over(metrics.paired(row["psnr_db"], values), high != low)


QUIET = 1.15  # how far the full sampler's own times may lie apart, as a ratio


def is_timed(rows: Iterable[Row]) -> bool:
    """Whether rows' times are worth telling: the machine was quiet while they were measured.

    A sample of the full sampler took equally long whenever it was drawn in a batch of that size.
    """
    seconds: dict[int, list[float]] = {}
    for row in rows:
        if not row["error"]:
            samples = row["samples"] if "samples" in row else row["seeds"][1]
            seconds.setdefault(min(samples, row["batch"]), []).append(row["full_seconds"])
    return bool(seconds) and all(max(each) <= QUIET * min(each) for each in seconds.values())


def time_ratio(row: Row) -> Estimate:
    """The full sampler's time over a row's, both of one session."""
    return metrics.speedup(row["full_seconds"], row["seconds"])


def speed(group: Group, row: Row) -> Estimate | None:
    """That ratio where the machine was quiet, else of counted operations; None: not counted."""
    if is_timed(group.good):
        return time_ratio(row)
    return Estimate(row["operations"], float("nan")) if row["operations"] else None
