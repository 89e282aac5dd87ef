"""How near a placement's pictures come to the full sampler's."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from clusca_ext.config import ClusCaConfig
from clusca_ext.demo.judge import psnr
from clusca_ext.schedule import ExplicitSchedule
from clusca_ext.search.draws import Draw
from clusca_ext.search.journal import Scored
from clusca_ext.search.moves import Steps

LIMIT = 120.0  # decibels of equal pictures, about float32's rounding; minus as much: not finite


class Scorer:
    """Draws placements on given seeds; the full sampler once, and only where it is needed."""

    def __init__(self, draw: Draw, config: ClusCaConfig, seeds: Sequence[int]) -> None:
        self.draw, self.config, self.seeds = draw, config, seeds

    @cached_property
    def full(self) -> Tensor:
        pictures = self._drawn(None)
        if not pictures.isfinite().all():
            raise ValueError("draw must give finite pictures where config is None, got others")
        return pictures

    def __call__(self, steps: Steps) -> Scored:
        """PSNR to the full sampler of every seed."""
        full = self.full
        pictures = self._drawn(replace(self.config, schedule=ExplicitSchedule(steps=steps)))
        if pictures.shape != full.shape:
            raise ValueError(
                f"draw must give pictures of shape {list(full.shape)} as the full sampler, got "
                f"{list(pictures.shape)}"
            )
        decibels = torch.nan_to_num(psnr(pictures, full), nan=-LIMIT).clamp(-LIMIT, LIMIT)
        return Scored(steps, tuple(decibels.tolist()))

    def _drawn(self, config: ClusCaConfig | None) -> Tensor:
        pictures = self.draw(config, self.seeds)
        if not isinstance(pictures, Tensor) or pictures.shape[:1] != (len(self.seeds),):
            got = list(pictures.shape) if isinstance(pictures, Tensor) else type(pictures).__name__
            raise ValueError(f"draw must give a tensor of [{len(self.seeds)}, ...], got {got}")
        return pictures.double()
