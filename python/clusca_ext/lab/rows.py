"""A row of the laboratory: a setting measured, or one of earlier sources looked at once more."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from clusca_ext.config import ClusCaConfig
from clusca_ext.lab import metrics
from clusca_ext.lab.drawn import Drawn, Model
from clusca_ext.lab.full import FullSampler
from clusca_ext.lab.journal import Row
from clusca_ext.lab.operations import Operations

# What a row says of pictures and steps.
QUALITY = ("full", "cached", "partial", "psnr_db", "distance", "frechet")
ALIKE = 0.01  # dB of PSNR, and share of a feature distance, of a sample that is drawn as before
SMALLEST = 1e-4  # a feature distance that is none


@dataclass(frozen=True)
class Plan:
    """What is drawn of every setting.

    Attributes:
        samples: Seeds 0, 1, 2 and so on.
        batch: Samples in a run.
    """

    samples: int = 128
    batch: int = 32

    def batches(self) -> Iterator[list[int]]:
        for start in range(0, self.samples, self.batch):
            yield list(range(start, min(start + self.batch, self.samples)))


class Rows:
    """Makes the numbers of rows.

    Args:
        model: What draws.
        plan: How many samples.
        full: The full sampler of the model.
        operations: What counts its operations.
        commit: Of the package, which draws.
        batch: Called after every batch.
    """

    def __init__(
        self,
        model: Model,
        plan: Plan,
        full: FullSampler,
        operations: Operations,
        commit: str,
        batch: Callable[[], None],
    ) -> None:
        self._model, self._plan, self._full = model, plan, full
        self._operations, self._commit, self._batch = operations, commit, batch

    def measured(self, config: ClusCaConfig) -> dict[str, Any]:
        """All of a setting."""
        batches = list(self._plan.batches())
        references = torch.cat([self._full.images(batch) for batch in batches])
        runs, times = self._drawn(config, batches)
        images = torch.cat([drawn.images for drawn in runs])
        quality = steps_of(runs) | _quality(self._model, images, references)
        costs = self._costs(config, runs, quality["full"])
        return {**quality, "drawn_by": self._commit} | costs | times

    def renewed(self, config: ClusCaConfig, row: Row) -> dict[str, Any] | None:
        """A row's numbers with new costs, if its first batch comes out as it did; else None."""
        seeds = next(self._plan.batches())
        runs, times = self._drawn(config, [seeds, seeds])  # one time alone says of no other
        now = _samples(self._model, runs[0].images, self._full.images(seeds))
        if not all(_alike(name, now[name], row[name]) for name in now):
            return None
        kept = {name: row[name] for name in QUALITY}
        return (
            {**kept, "drawn_by": row.get("drawn_by", row["commit"])}
            | self._costs(config, runs, row["full"])
            | times
        )

    def _costs(
        self, config: ClusCaConfig, runs: Sequence[Drawn], full: float | None
    ) -> dict[str, Any]:
        """Counted operations, and the memory of the cache; full steps are the mean of samples."""
        ratio = self._operations.ratio(config, full=full)
        said = [drawn.summary for drawn in runs if drawn.summary is not None]
        memory = max((each.cache_bytes for each in said), default=None)
        return {
            "operations": None if ratio is None else _short(ratio),
            "cache_mib": None if memory is None else _short(memory / 2**20),
        }

    def _drawn(
        self, config: ClusCaConfig, batches: Sequence[list[int]]
    ) -> tuple[list[Drawn], dict[str, Any]]:
        """Runs of the batches, and how long they took between two timings of the full sampler."""
        around = [self._full.seconds_now(batches[0])]
        runs = []
        for batch in batches:
            runs.append(self._model.draw(config, batch))
            self._batch()
        around.append(self._full.seconds_now(batches[0], recent=0.0))
        return runs, {
            "full_seconds": list(map(_short, around)),
            "seconds": list(map(_short, seconds_of(runs, batches))),
            "threads": torch.get_num_threads(),
            "error": None,
        }


def seconds_of(runs: Sequence[Drawn], batches: Sequence[Sequence[int]]) -> list[float]:
    """Of a sample, for every run of the first one's size: a smaller batch takes longer for each."""
    sizes = [len(batch) for batch in batches]
    return [r.seconds / n for r, n in zip(runs, sizes, strict=True) if n == sizes[0]]


def _samples(model: Model, images: Tensor, full: Tensor) -> dict[str, Any]:
    """Of every sample, so that differences can be paired with any other row."""
    features = model.features()
    distance = None if features is None else _list(features.distance(images, full))
    return {"psnr_db": _list(metrics.decibels(images, full)), "distance": distance}


def _alike(name: str, now: list[float] | None, before: list[float] | None) -> bool:
    """Whether samples that are drawn again are those that were: PSNR in dB, distances as shares."""
    if now is None or before is None:
        return now is before
    share = name != "psnr_db"
    return all(
        abs(a - b) <= ALIKE * (max(b, SMALLEST) if share else 1.0)
        for a, b in zip(now, before, strict=False)  # the first batch of more
    )


def _quality(model: Model, images: Tensor, full: Tensor) -> dict[str, Any]:
    features = model.features()
    numbers = {**_samples(model, images, full), "frechet": None}
    if features is not None and len(images) > 1:  # a set of one has no spread
        spread = metrics.frechet(features, images, full)
        numbers["frechet"] = [_short(spread.mean), _short(spread.error)]
    return numbers


def steps_of(runs: Sequence[Drawn]) -> dict[str, Any]:
    """Steps of each kind, the mean of samples; None where the model does not say."""
    said = [drawn.summary for drawn in runs if drawn.summary is not None]
    if len(said) < len(runs):
        return dict.fromkeys(("full", "cached", "partial"))
    full = [mean(each.full_by_sample or (each.full,)) for each in said]
    samples = [len(drawn.images) for drawn in runs]

    def of_samples(values: Sequence[float]) -> float:
        return sum(v * n for v, n in zip(values, samples, strict=True)) / sum(samples)

    steps, of_full = of_samples([each.steps for each in said]), of_samples(full)
    of_partial = of_samples([each.partial for each in said])
    return {
        "full": _short(of_full),
        "cached": _short(steps - of_full - of_partial),
        "partial": _short(of_partial),
    }


def _short(value: float) -> float | None:
    """Five digits; NaN, which JSON does not know, is None."""
    return None if value != value else float(f"{value:.5g}")


def _list(values: Tensor) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]
