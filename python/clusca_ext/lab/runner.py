"""Measures a grid: the same seeds through the full sampler and through every setting."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Protocol

import torch
from torch import Tensor

from clusca_ext.lab import metrics
from clusca_ext.lab.full import FullSampler
from clusca_ext.lab.grid import Setting
from clusca_ext.lab.journal import Journal, Row
from clusca_ext.lab.models import Drawn, Model
from clusca_ext.lab.operations import Operations

COUNTED = 2  # samples whose operations are counted


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


@dataclass(frozen=True)
class Outcome:
    """How far it came.

    Attributes:
        rows: Of every setting that has one, in the grid's order.
        measured: How many were measured now.
        left: How many are still to be measured, the limit being reached.
    """

    rows: list[Row]
    measured: int
    left: int


class Watch(Protocol):
    """What is told how it goes."""

    def begin(self, setting: Setting) -> None: ...

    def batch(self) -> None: ...

    def end(self, row: Row) -> None: ...


def key_of(model: Model, plan: Plan, setting: Setting) -> dict[str, Any]:
    """What a row is found by."""
    config = setting.config
    return {
        "bench": "lab",
        "model": model.name,
        "steps": model.steps,
        "samples": plan.samples,
        "batch": plan.batch,
        "method": setting.method,
        "interval": setting.interval,
        "order": setting.order,
        "config": config if isinstance(config, str) else config.to_dict(),
    }


def run(
    model: Model,
    settings: Sequence[Setting],
    plan: Plan,
    journal: Journal,
    full: FullSampler,
    watch: Watch,
    seconds: float = float("inf"),
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Measure what the journal does not hold yet; a setting that fails is a row with its error.

    Args:
        model: What draws.
        settings: The grid.
        plan: How many samples.
        journal: Where rows go as they come.
        full: The full sampler of the model.
        watch: Told of every setting and batch.
        seconds: No setting is begun later than that.
        clock: Seconds that pass.
    """
    end = clock() + seconds
    operations = Operations(model, range(min(COUNTED, plan.samples)))
    rows: list[Row] = []
    measured = 0
    for index, setting in enumerate(settings):
        key = key_of(model, plan, setting)
        row = journal.find(key)
        if row is None:
            if clock() > end:
                left = [s for s in settings[index:] if not journal.find(key_of(model, plan, s))]
                return Outcome(rows, measured, len(left))
            watch.begin(setting)
            row = journal.add(key, _measure_or_fail(model, setting, plan, full, operations, watch))
            measured += 1
        rows.append(row)
        watch.end(row)
    return Outcome(rows, measured, 0)


def _measure_or_fail(*arguments: Any) -> dict[str, Any]:
    try:
        return _measure(*arguments)
    except Exception as error:  # of one setting, whatever it is; the others go on
        return {"error": f"{type(error).__name__}: {error}"}


def _measure(
    model: Model,
    setting: Setting,
    plan: Plan,
    full: FullSampler,
    operations: Operations,
    watch: Watch,
) -> dict[str, Any]:
    config = setting.config
    if isinstance(config, str):
        raise ValueError(config.removeprefix("ValueError: "))
    references = [full.images(batch) for batch in plan.batches()]
    full_seconds = full.seconds(next(plan.batches()))
    runs = []
    for batch in plan.batches():
        runs.append(model.draw(config, batch))
        watch.batch()
    images = torch.cat([drawn.images for drawn in runs])
    ratio = operations.ratio(config)
    return {
        **_steps(runs),
        **_quality(model, images, torch.cat(references)),
        "full_seconds": _short(full_seconds),
        "seconds": [
            _short(drawn.seconds / len(batch))
            for drawn, batch in zip(runs, plan.batches(), strict=True)
        ],
        "operations": None if ratio is None else _short(ratio),
        "threads": torch.get_num_threads(),
        "error": None,
    }


def _quality(model: Model, images: Tensor, full: Tensor) -> dict[str, Any]:
    """Of every sample, so that differences can be paired with any other row."""
    features = model.features()
    numbers: dict[str, Any] = {"psnr_db": _list(metrics.decibels(images, full))}
    if features is None:
        return numbers | {"distance": None, "frechet": None}
    numbers |= {"distance": _list(features.distance(images, full)), "frechet": None}
    if len(images) > 1:  # a set of one has no spread
        spread = metrics.frechet(features, images, full)
        numbers["frechet"] = [_short(spread.mean), _short(spread.error)]
    return numbers


def _steps(runs: Sequence[Drawn]) -> dict[str, Any]:
    """Steps of each kind, the mean of samples; None where the model does not say."""
    said = [drawn.summary for drawn in runs if drawn.summary is not None]
    if len(said) < len(runs):
        return dict.fromkeys(("full", "cached", "partial", "cache_mib"))
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
        "cache_mib": _short(max(each.cache_bytes for each in said) / 2**20),
    }


def _short(value: float) -> float | None:
    """Five digits; NaN, which JSON does not know, is None."""
    return None if value != value else float(f"{value:.5g}")


def _list(values: Tensor) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]
