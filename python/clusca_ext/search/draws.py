"""What draws the pictures that placements are scored by."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from clusca_ext.checks import integer
from clusca_ext.config import ClusCaConfig
from clusca_ext.enable import cache, summary
from clusca_ext.lab.drawn import Model


class Draw(Protocol):
    """Draws pictures with a cache and without: what a search compares."""

    def __call__(self, config: ClusCaConfig | None, seeds: Sequence[int]) -> Tensor:
        """Draw a picture for each seed, the same one whenever it is asked for it.

        Args:
            config: The cache; None: the full sampler.
            seeds: Of the noise, and of whatever else differs between pictures: prompts, classes.

        Returns:
            Pictures, best in [-1, 1]; of another range, decibels are shifted and gains are not.
            [B, ...]
        """


class PipelineDraw:
    """Any call of a diffusers pipeline.

    Args:
        pipeline: The pipeline, without a cache.
        call: Given the seeds, calls the pipeline and returns the pictures, [B, ...], the same for
            the same seeds. How many seeds fit one batch is its business.
        num_steps: Steps of the run: calls of the model, of one branch of guidance.
    """

    def __init__(
        self, pipeline: Any, call: Callable[[Sequence[int]], Tensor], num_steps: int
    ) -> None:
        integer("num_steps", num_steps, 1)
        if not callable(call):
            raise ValueError(f"call must be a function of seeds, got {call!r}")
        self.pipeline, self.call, self.num_steps = pipeline, call, num_steps

    @torch.no_grad()
    def __call__(self, config: ClusCaConfig | None, seeds: Sequence[int]) -> Tensor:
        with nullcontext() if config is None else cache(self.pipeline, config):
            pictures = self.call(seeds)
            if config is not None:
                steps = summary(self.pipeline).steps
                if steps != self.num_steps:
                    raise ValueError(
                        f"num_steps must be the run's, {steps} calls of the model, got "
                        f"{self.num_steps}"
                    )
        return pictures


class ModelDraw:
    """A model of the laboratory, embedded or of a folder, with its own classes and steps.

    Args:
        model: ``clusca_ext.lab.models.open_model("pictures")``.
        batch: Samples drawn at once.
    """

    def __init__(self, model: Model, batch: int = 16) -> None:
        integer("batch", batch, 1)
        self.model, self.batch = model, batch

    def __call__(self, config: ClusCaConfig | None, seeds: Sequence[int]) -> Tensor:
        batches = [seeds[i : i + self.batch] for i in range(0, len(seeds), self.batch)]
        return torch.cat([self.model.draw(config, batch).images for batch in batches])
