"""What rows say beside bounded Taylor at as many operations or fewer, paired by sample."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from clusca_ext.demo.judge import Estimate
from clusca_ext.lab import metrics
from clusca_ext.lab.journal import Row, kind_of
from clusca_ext.lab.methods import BASELINE, BASELINE_ORDER, COUNTS, all_methods, configured
from clusca_ext.lab.models import fitted_to
from clusca_ext.lab.times import Fastest, fastest, is_timed, machine_of

SEEN = 0.005  # dB; a smaller difference is none
SAME = 0.001  # operations that differ by less are as many


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
    """Rows that can be compared: of one model, sampler and kind of device, with the same samples.

    Attributes:
        kind: Of the device (``journal.kind_of``): pictures of several machines are compared.
        rows: Of methods.
        counts: Of the baseline, by its number of full steps.
    """

    model: str
    steps: int | None
    samples: int
    kind: str
    rows: tuple[Row, ...]
    counts: tuple[Row, ...] = ()

    @property
    def fitted_to(self) -> str | None:
        """The embedded model whose own entries of methods there are, if any."""
        return fitted_to(self.model, self.steps)

    @property
    def good(self) -> list[Row]:
        return [row for row in self.rows if row["error"] is None]

    @property
    def different(self) -> list[Row]:
        """Those that are measured by themselves: not by a setting that draws the same."""
        return [row for row in self.good if "same_as" not in row]

    @property
    def timed(self) -> list[Row]:
        return [row for row in self.good if self.is_timed(row)]

    def is_timed(self, row: Row) -> bool:
        """Whether its time is told: as ``is_timed``, beside all others of one machine."""
        return row["machine"] == self.machine and is_timed(row, self._fastest)

    @cached_property
    def machine(self) -> str:
        """As ``machine_of``."""
        return machine_of((*self.rows, *self.counts))

    @cached_property
    def _fastest(self) -> Fastest:
        return fastest([*self.good, *(row for row in self.counts if row["error"] is None)])

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.rows if row["error"] is not None]


def groups(rows: Iterable[Row]) -> list[Group]:
    """Rows of the laboratory by what they may be compared with, one of each setting.

    It is the newest; of several machines', that of the one whose times are told. Of a model that
    was trained on, rows of its newest weights.
    """
    found: dict[tuple[str, int | None, int, str], dict[tuple[Any, ...], Row]] = {}
    lab = [row for row in rows if row.get("bench") == "lab"]
    newest = {_where(row): row["weights"] for row in lab}
    for row in lab:
        where = _where(row)
        if row["weights"] == newest[where] and _is_todays(row):
            what = *_setting(row), row["machine"]
            found.setdefault(where, {}).pop(what, None)
            found[where][what] = row
    return [_group(where, _one_each(found[where].values())) for where in sorted(found, key=str)]


def _setting(row: Row) -> tuple[str, int, int]:
    return row["method"], row["interval"], row["order"]


def _one_each(rows: Collection[Row]) -> Iterable[Row]:
    """One of each setting, of rows of every machine, the newest last."""
    machine = machine_of(rows)
    found: dict[tuple[str, int, int], Row] = {}
    for row in sorted(rows, key=lambda row: row["machine"] == machine and not row["error"]):
        found.pop(_setting(row), None)
        found[_setting(row)] = row
    return found.values()


def _group(where: tuple[str, int | None, int, str], rows: Iterable[Row]) -> Group:
    by_kind: dict[bool, list[Row]] = {False: [], True: []}
    for row in rows:
        by_kind[row["method"] == COUNTS].append(row)
    return Group(*where, tuple(by_kind[False]), tuple(by_kind[True]))


def _where(row: Row) -> tuple[str, int | None, int, str]:
    return row["model"], row["steps"], row["samples"], kind_of(row)


def _is_todays(row: Row) -> bool:
    """Whether its method is still configured as it was then; one that is gone says so itself."""
    if row["method"] not in {*all_methods(), COUNTS} or row["error"] is not None:
        return True
    config = configured(
        row["method"], row["interval"], row["order"], fitted_to(row["model"], row["steps"])
    )
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
        """What samples are above it, at as much work or less; None where that was not measured.

        More full steps are not always better: of the points with no more work the best counts.
        Where more was measured, too, each sample's PSNR is interpolated between the points beside
        it, and counts if it is better still; one within 0.1 % is taken as it is.
        """
        below = [point for point in self._points if point[0] <= at * (1 + SAME)]
        above = [point for point in self._points if point[0] >= at * (1 - SAME)]
        if not below or not above:
            return None
        best = Over(metrics.paired(psnr, max((values for _, values in below), key=fmean)), False)
        (low, first), (high, last) = below[-1], above[0]
        if high <= low:  # one that does as much
            return best
        share = (at - low) / (high - low)
        values = [a + share * (b - a) for a, b in zip(first, last, strict=True)]
        between = Over(metrics.paired(psnr, values), interpolated=True)
        return min(best, between, key=lambda over: over.value.mean)


class Baseline:
    """Bounded Taylor of order 1, evenly placed, at the numbers of full steps that were measured."""

    def __init__(self, group: Group) -> None:
        measured = [row for row in group.counts if row["error"] is None and row["cached"] != 0]
        measured += [
            r for r in group.good if (r["method"], r["order"]) == (BASELINE, BASELINE_ORDER)
        ]
        self._curve = Curve(
            (at, row["psnr_db"]) for row in measured if (at := work(row)) is not None
        )

    def over(self, row: Row) -> Over | None:
        """What a row is above it, as ``Curve.under``; None where that was not measured."""
        at = work(row)
        return None if at is None else self._curve.under(at, row["psnr_db"])


def counted(row: Row) -> Estimate | None:
    """The same of operations; None where none were seen."""
    return Estimate(row["operations"], float("nan")) if row["operations"] else None
