"""Samples the demo's rows and judges them: the same seeds through every one of them."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from clusca_ext.demo.judge import Classifier, Estimate, estimate, psnr
from clusca_ext.demo.pipeline import DigitsPipeline
from clusca_ext.demo.rows import BOUNDED, Row
from clusca_ext.enable import cache, summary
from clusca_ext.recording import Recorder
from clusca_ext.summary import Summary


@dataclass(frozen=True)
class Sampled:
    """What a row drew.

    Attributes:
        row: The row.
        labels: The digits asked for.
        images: On the CPU. [B, 1, 32, 32]
        seconds: Duration of sampling, on the wall clock.
        summary: What its cache did; None for the untouched model.
        recorder: What looked at it; None: nothing did.
    """

    row: Row
    labels: Sequence[int]
    images: Tensor
    seconds: float
    summary: Summary | None
    recorder: Recorder | None = None

    @property
    def full(self) -> int:
        return self.row.steps if self.summary is None else self.summary.full

    @property
    def cached(self) -> int:
        return 0 if self.summary is None else self.summary.cached


@dataclass(frozen=True)
class Result:
    """How good that is.

    Attributes:
        sampled: What the row drew.
        speedup: Duration of the full sampler over its own.
        psnr: Distance to the full sampler in decibels; None for the full sampler itself.
        over_bounded: The same minus that of bounded Taylor at its interval, paired by sample.
        recognised: Share of samples that the classifier takes for the digit asked for.
    """

    sampled: Sampled
    speedup: float
    psnr: Estimate | None
    over_bounded: Estimate | None
    recognised: float


def sample(
    pipeline: DigitsPipeline,
    row: Row,
    labels: Sequence[int],
    on_step: Callable[[], None],
    records: bool = False,
) -> Sampled:
    """Sample one row; sample i has seed i.

    Where it is recorded, that is part of its seconds.
    """

    def timed() -> tuple[Tensor, float]:
        _wait(pipeline)
        start = time.perf_counter()
        images = pipeline(
            labels, num_inference_steps=row.steps, on_step=lambda step, images: on_step()
        )
        _wait(pipeline)
        return images.float().cpu(), time.perf_counter() - start

    recorder = Recorder(pipeline, str(row), row.config) if records else None
    cached = nullcontext() if row.config is None else cache(pipeline, row.config)
    with cached if recorder is None else recorder:
        images, seconds = timed()
        done = None if row.config is None else summary(pipeline)
    return Sampled(row, labels, images, seconds, done, recorder)


def judge(everything: Sequence[Sampled], labels: Sequence[int]) -> list[Result]:
    """Compare every row with the first, the full sampler, and with bounded Taylor."""
    classify = Classifier()
    asked = torch.tensor(labels)
    full = everything[0]
    distances = [psnr(sampled.images, full.images) for sampled in everything]
    bounded = {
        sampled.row.interval: distance
        for sampled, distance in zip(everything, distances, strict=True)
        if sampled.row.name == BOUNDED
    }
    results = []
    for sampled, distance in zip(everything, distances, strict=True):
        is_full = sampled is full
        over = None if is_full else estimate(distance - bounded[sampled.row.interval])
        results.append(
            Result(
                sampled=sampled,
                speedup=full.seconds / sampled.seconds,
                psnr=None if is_full else estimate(distance),
                over_bounded=over,
                recognised=(classify(sampled.images) == asked).float().mean().item(),
            )
        )
    return results


def _wait(pipeline: DigitsPipeline) -> None:
    if pipeline.device.type == "cuda":
        torch.cuda.synchronize(pipeline.device)
