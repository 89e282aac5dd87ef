"""What a model of the laboratory is: it draws pictures of seeds, and says how long it took."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from clusca_ext.config import ClusCaConfig
from clusca_ext.lab.metrics import Features
from clusca_ext.summary import Summary


@dataclass(frozen=True)
class Drawn:
    """What a run drew.

    Attributes:
        images: Values in [-1, 1], float32, on the CPU. [B, C, H, W]
        seconds: Duration of the run, on the wall clock.
        summary: What its cache did; None of the full sampler, or where it is not known.
    """

    images: Tensor
    seconds: float
    summary: Summary | None


class Model(Protocol):
    """What draws pictures of seeds, with a cache or without.

    Attributes:
        name: What rows call it.
        device: Where it runs.
        steps: Steps of its sampler; None where that is not known.
        channels: Channels D of a token; 0 where that is not known.
        weights: A digest of its parameters and its sampler, or of what stands for them.
    """

    name: str
    device: torch.device
    steps: int | None
    channels: int
    weights: str

    def draw(self, config: ClusCaConfig | None, seeds: Sequence[int]) -> Drawn:
        """One sample a seed; it does not depend on the others. None: the full sampler."""

    def full_seconds(self, seeds: Sequence[int]) -> float:
        """How long a sample takes the full sampler in a batch such as this, on the wall clock."""

    def features(self) -> Features | None:
        """What judges its pictures beside PSNR; None where nothing does."""


def now(device: torch.device) -> float:
    """Seconds on the wall clock, what was asked of the device being done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
