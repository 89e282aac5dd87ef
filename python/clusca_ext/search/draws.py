"""What draws the pictures that placements are scored by."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from clusca_ext.checks import integer, integers
from clusca_ext.config import ClusCaConfig
from clusca_ext.demo.pipeline import NUM_CLASSES, DigitsPipeline
from clusca_ext.enable import cache, summary


class Draw(Protocol):
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


class DigitsDraw(PipelineDraw):
    """The embedded model, or one of its kind; a seed's digit is ``digits[seed % len(digits)]``.

    Args:
        pipeline: ``clusca_ext.demo.pipeline.load_digits()``.
        num_steps: DDIM steps.
        digits: The digits to draw.
        batch: Samples drawn at once.
    """

    def __init__(
        self,
        pipeline: DigitsPipeline,
        num_steps: int = 50,
        digits: Sequence[int] = range(NUM_CLASSES),
        batch: int = 16,
    ) -> None:
        super().__init__(pipeline, self._draw, num_steps)
        self.digits = integers("digits", digits, 0, NUM_CLASSES - 1)
        if not self.digits:
            raise ValueError("digits must be at least one digit, got none")
        integer("batch", batch, 1)
        self.batch = batch

    def _draw(self, seeds: Sequence[int]) -> Tensor:
        drawn = []
        for start in range(0, len(seeds), self.batch):
            part = seeds[start : start + self.batch]
            labels = [self.digits[seed % len(self.digits)] for seed in part]
            drawn.append(self.pipeline(labels, seeds=part, num_inference_steps=self.num_steps))
        return torch.cat(drawn).float().cpu()
