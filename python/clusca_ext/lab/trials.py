"""Configurations tried on a few seeds: what each gave is kept, and never measured twice."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from clusca_ext.config import ClusCaConfig
from clusca_ext.demo.judge import Estimate
from clusca_ext.lab import metrics
from clusca_ext.lab.drawn import Model
from clusca_ext.lab.full import FullSampler
from clusca_ext.lab.journal import Journal, Row
from clusca_ext.lab.operations import Operations
from clusca_ext.quiet import is_quiet


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
    def time(self) -> Estimate:
        """The full sampler's time over its own."""
        return metrics.speedup(self.row["full_seconds"], self.row["seconds"])

    def speed(self, cost: str) -> float:
        return self.time.mean if cost == "time" else (self.row["operations"] or 0.0)


def are_timed(rows: Iterable[Row]) -> bool:
    """Whether times can be compared: a sample of the full sampler took equally long whenever it
    was drawn in a batch of that size."""
    seconds: dict[int, list[float]] = {}
    for row in rows:
        if not row["error"]:
            size = min(row["seeds"][1], row["batch"])
            seconds.setdefault(size, []).append(row["full_seconds"])
    return bool(seconds) and all(map(is_quiet, seconds.values()))


class Trials:
    """Tries candidates.

    Args:
        model: What draws.
        journal: Where rows go; what it holds is not tried again.
        full: The full sampler of the model.
        batch: Samples in a run.
        seconds: Nothing is tried later than that.
        clock: Seconds that pass.
    """

    def __init__(
        self,
        model: Model,
        journal: Journal,
        full: FullSampler,
        batch: int,
        seconds: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model, self.journal, self._full, self._batch = model, journal, full, batch
        self._clock, self._end = clock, clock() + seconds
        self.tell: Callable[[Trial], None] = lambda trial: None  # called with every trial
        self._operations = Operations(model, (0,))
        self.failed: dict[str, str] = {}
        self.count = 0  # of different ones that were asked for
        self._asked: set[str] = set()

    @property
    def is_quiet(self) -> bool:
        """Whether times of what the journal holds of this model can be trusted."""
        model = self.model
        rows = [row for row in self.journal.rows if row.get("bench") == "calibrate"]
        return are_timed(
            row for row in rows if (row["model"], row["steps"]) == (model.name, model.steps)
        )

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
            "batch": self._batch,
            "config": candidate.config.to_dict(),
        }
        row = self.journal.find(key)
        if row is None:
            if self._clock() > self._end:
                raise OutOfTime
            row = self.journal.add(key, {"name": candidate.name} | self._measured(candidate, seeds))
        trial = Trial(candidate, row)
        if str(key) not in self._asked:
            self._asked.add(str(key))
            self.count += 1
            self.tell(trial)
        if trial.failed:
            self.failed[candidate.name] = row["error"]
        return trial

    def _measured(self, candidate: Candidate, seeds: range) -> dict[str, Any]:
        batches = [seeds[i : i + self._batch] for i in range(0, len(seeds), self._batch)]
        try:
            references = torch.cat([self._full.images(batch) for batch in batches])
            full_seconds = self._full.seconds(batches[0])
            runs = [self.model.draw(candidate.config, batch) for batch in batches]
            images = torch.cat([drawn.images for drawn in runs])
            features = self.model.features()
            return {
                "psnr_db": metrics.decibels(images, references).tolist(),
                "distance": features and features.distance(images, references).tolist(),
                "seconds": [
                    drawn.seconds / len(batch) for drawn, batch in zip(runs, batches, strict=True)
                ],
                "full_seconds": full_seconds,
                "operations": self._operations.ratio(candidate.config),
                "error": None,
            }
        except Exception as error:  # of one candidate, whatever it is; the others go on
            return {"error": f"{type(error).__name__}: {error}"}
