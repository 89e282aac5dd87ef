"""How good pictures are beside the full sampler's, and with which certainty."""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from clusca_ext.demo.judge import HIGHEST, Estimate, estimate, psnr

GROUPS = 8  # of the jackknife


class Features(Protocol):
    """What a small network sees in pictures."""

    def distance(self, images: Tensor, reference: Tensor) -> Tensor:
        """LPIPS-like distance of each image to its reference. [B, C, H, W] twice to [B]"""

    def frechet(self, images: Tensor, reference: Tensor) -> float:
        """Frechet distance of the two sets' features."""


def decibels(images: Tensor, full: Tensor) -> Tensor:
    """PSNR of each image to the full sampler's, 120 dB at most. [B]

    Raises:
        ValueError: An image has values that are not finite.
    """
    if not images.isfinite().all():
        raise ValueError("images must be finite, got NaN or infinity")
    if images.shape != full.shape:
        raise ValueError(f"images must have shape {list(full.shape)}, got {list(images.shape)}")
    return psnr(images, full).clamp(max=HIGHEST)


def frechet(features: Features, images: Tensor, full: Tensor) -> Estimate:
    """Frechet distance to the full sampler's pictures.

    The standard error is that of a jackknife which leaves out one of eight groups of samples: the
    distance has no value for a single sample of which a mean could be taken.
    """
    value = features.frechet(images, full)
    groups = min(GROUPS, len(images))
    if groups < 2 or len(images) < 4:
        return Estimate(value, math.nan)
    index = torch.arange(len(images)) % groups
    without = [features.frechet(images[index != g], full[index != g]) for g in range(groups)]
    mean = sum(without) / groups
    spread = sum((each - mean) ** 2 for each in without)
    return Estimate(value, math.sqrt((groups - 1) / groups * spread))


def paired(values: Sequence[float], baseline: Sequence[float]) -> Estimate:
    """Mean difference of the same samples, with the standard error of that mean.

    Raises:
        ValueError: The two are not of the same samples.
    """
    if len(values) != len(baseline):
        raise ValueError(f"values must be {len(baseline)} as baseline, got {len(values)}")
    return mean_of([a - b for a, b in zip(values, baseline, strict=True)])


def mean_of(values: Sequence[float]) -> Estimate:
    """Mean and standard error; that of one value is NaN."""
    return estimate(torch.tensor(values, dtype=torch.float64))


def speedup(full_seconds: Sequence[float], seconds: Sequence[float]) -> Estimate:
    """The full sampler's duration of a sample, the mean of its timings, over the median of batches.

    The standard error is that of the ratios of single batches, and of the timings.
    """
    middle = torch.tensor(sorted(seconds), dtype=torch.float64).quantile(0.5).item()
    full = mean_of(full_seconds)
    own = mean_of([full.mean / each for each in seconds]).error
    timing = 0.0 if len(full_seconds) == 1 else full.error / middle
    return Estimate(full.mean / middle, math.hypot(own, timing))
