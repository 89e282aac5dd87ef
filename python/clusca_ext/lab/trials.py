"""Configurations tried on a few seeds: what each gave is kept, and never measured twice."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from clusca_ext.config import ClusCaConfig
from clusca_ext.demo.judge import Estimate
from clusca_ext.lab import metrics
from clusca_ext.lab.drawn import Drawn, Model
from clusca_ext.lab.full import RECENT, FullSampler
from clusca_ext.lab.journal import Journal, Row
from clusca_ext.lab.operations import Operations
from clusca_ext.lab.rows import seconds_of, steps_of
from clusca_ext.lab.times import is_timed, time_ratio

COUNTED = 4  # samples of a trial, at most, whose operations are counted where each decides
QUALITY = ("psnr_db", "distance", "operations")  # what a trial says, beside times


class OutOfTime(Exception):
    """The limit was reached; what was tried is in the journal."""


@dataclass(frozen=True)
class Candidate:
    """A configuration, and where it comes from."""

    name: str
    config: ClusCaConfig


@dataclass(frozen=True)
class Trial:
    """A candidate on some seeds.

    Attributes:
        candidate: What was tried.
        row: The journal's row.
    """

    candidate: Candidate
    row: Row

    @property
    def failed(self) -> bool:
        return self.row["error"] is not None

    @property
    def quality(self) -> Estimate:
        """PSNR to the full sampler, dB."""
        return metrics.mean_of(self.row["psnr_db"])

    @property
    def psnr(self) -> float:
        return self.quality.mean

    @property
    def psnr_error(self) -> float:
        return _known(self.quality.error)

    @property
    def time(self) -> Estimate:
        """The full sampler's time over its own."""
        return time_ratio(self.row)

    def speed(self, cost: str) -> float:
        return self.time.mean if cost == "time" else (self.row["operations"] or 0.0)

    def speed_error(self, cost: str) -> float:
        return _known(self.time.error) if cost == "time" else 0.0


def _known(error: float) -> float:
    """A standard error, of one number none."""
    return 0.0 if math.isnan(error) else error


class Trials:
    """Tries candidates.

    Args:
        model: What draws.
        journal: Where rows go; what it holds is not tried again, but for what failed.
        full: The full sampler of the model.
        batch: Samples in a run.
        seconds: Nothing is tried later than that.
        clock: Seconds that pass.
        retries: How often a trial is timed anew, at most, whose times a busy machine spoilt.
    """

    def __init__(
        self,
        model: Model,
        journal: Journal,
        full: FullSampler,
        batch: int,
        seconds: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
        retries: int = 0,
    ) -> None:
        self.model, self.journal, self._full, self.batch = model, journal, full, batch
        self._clock, self._end, self._retries = clock, clock() + seconds, retries
        self.tell: Callable[[Trial], None] = lambda trial: None  # called with every trial
        self._operations = Operations(model, (0,))
        self.failed: dict[str, str] = {}
        self._rows: dict[str, Row] = {}  # of those that were asked for, by their keys

    @property
    def count(self) -> int:
        """Different trials that were asked for."""
        return len(self._rows)

    @property
    def spoilt(self) -> int:
        """How many of them have times that cannot be trusted."""
        return sum(not (row["error"] or is_timed(row)) for row in self._rows.values())

    @property
    def is_quiet(self) -> bool:
        """Whether the times of all of them can be trusted."""
        return not self.spoilt

    def require_time(self) -> None:
        """Check that there is time to draw.

        Raises:
            OutOfTime: There is none.
        """
        if self._clock() > self._end:
            raise OutOfTime

    def tried(self, candidates: Sequence[Candidate], seeds: range) -> list[Trial]:
        """Those of the candidates that did not fail, in their order.

        Raises:
            OutOfTime: The limit was reached before all were tried.
        """
        trials = [self._trial(candidate, seeds) for candidate in candidates]
        return [trial for trial in trials if not trial.failed]

    def _trial(self, candidate: Candidate, seeds: range) -> Trial:
        key = {
            "bench": "calibrate",
            "model": self.model.name,
            "weights": self.model.weights,
            "steps": self.model.steps,
            "seeds": [seeds.start, len(seeds)],
            "batch": self.batch,
            "threads": torch.get_num_threads(),
            "config": candidate.config.to_dict(),
        }
        is_new = str(key) not in self._rows
        if is_new:
            self._rows[str(key)] = self._row(key, candidate, seeds)
        trial = Trial(candidate, self._rows[str(key)])
        if is_new:
            self.tell(trial)
        if trial.failed:
            self.failed[candidate.name] = trial.row["error"]
        return trial

    def _row(self, key: dict[str, Any], candidate: Candidate, seeds: range) -> Row:
        batches = [seeds[i : i + self.batch] for i in range(0, len(seeds), self.batch)]
        row = self.journal.find(key)
        if row is None or row["error"]:  # what failed in an earlier session is tried again
            row = self._added(key, candidate, batches, self._measured)
        for _ in range(self._retries):
            if row["error"] or is_timed(row):
                break
            row = self._added(key, candidate, batches, partial(self._timed_anew, row), row)
        return row

    def _added(
        self,
        key: dict[str, Any],
        candidate: Candidate,
        batches: Sequence[range],
        measure: Callable[[ClusCaConfig, Sequence[range], Tensor], dict[str, Any]],
        known: Row | None = None,
    ) -> Row:
        """A new row; the one that is known already, where what would replace it fails."""
        self.require_time()
        # Where the full sampler fails, that is no candidate's error.
        references = torch.cat([self._full.images(batch) for batch in batches])
        try:
            numbers = measure(candidate.config, batches, references) | {"error": None}
        except Exception as error:  # of one candidate, whatever it is; the others go on
            if known is not None:
                return known
            numbers = {"error": f"{type(error).__name__}: {error}"}
        return self.journal.add(key, {"name": candidate.name} | numbers)

    def _measured(
        self, config: ClusCaConfig, batches: Sequence[range], references: Tensor
    ) -> dict[str, Any]:
        runs, times = self._drawn(config, batches)
        images, full = torch.cat([run.images for run in runs]), steps_of(runs)["full"]
        features = self.model.features()
        return times | {
            "psnr_db": metrics.decibels(images, references).tolist(),
            "distance": features and features.distance(images, references).tolist(),
            "operations": self._operations.ratio(config, self._counted(config, batches[0]), full),
        }

    @staticmethod
    def _counted(config: ClusCaConfig, seeds: range) -> range | None:
        """Samples of the trial itself where they decide; else one is as good as any, and drawn."""
        return seeds[:COUNTED] if hasattr(config.schedule, "signal") else None

    def _timed_anew(
        self, row: Row, config: ClusCaConfig, batches: Sequence[range], references: Tensor
    ) -> dict[str, Any]:
        return {name: row[name] for name in QUALITY} | self._drawn(config, batches, recent=0)[1]

    def _drawn(
        self, config: ClusCaConfig, batches: Sequence[range], recent: float = RECENT
    ) -> tuple[list[Drawn], dict[str, Any]]:
        """Runs, and how long they took between two timings of the full sampler."""
        around = [self._full.seconds_now(batches[0], recent)]
        runs = [self.model.draw(config, batch) for batch in batches]
        # One time alone says of no other whether the machine was quiet.
        again = list(batches[:1]) if self._retries and len(batches) == 1 else []
        more = [self.model.draw(config, batch) for batch in again]
        around.append(self._full.seconds_now(batches[0], recent=0))
        seconds = seconds_of([*runs, *more], [*batches, *again])
        return runs, {"seconds": seconds, "full_seconds": around}
