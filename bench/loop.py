"""A denoising loop without a pipeline, and what it sees: seconds, and which steps were full."""

import contextlib
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.measuring.models import Model, make
from clusca_ext.timing import StepTimes


class Loop:
    """Euler steps from noise, on one set of inputs.

    Attributes:
        result: What the last run ended with.
        times: Of its steps, by kind.
        full: Its steps on which the model's last block was computed, whatever cache it has.
        step: The step it is at.
        is_whole: Whether it came to its end.
        begin: Called before every run; None: nothing.
    """

    result: Tensor
    times: StepTimes
    step = 0
    is_whole = True
    begin: Callable[[], object] | None = None

    def __init__(self, described: Model, device: str, dtype: torch.dtype) -> None:
        self.described, self.device, self.dtype = described, device, dtype
        self.model = make(described, device, dtype)
        self.full: set[int] = set()
        last_query(self.model).register_forward_hook(lambda *_: self.full.add(self.step))
        generator = torch.Generator(device).manual_seed(0)

        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, device=device, dtype=dtype)

        self.latents, self.inputs = random(*described.latents), described.inputs(random)

    def timesteps(self, steps: int) -> Tensor:
        """As a scheduler has them, from 1000 down. [steps]"""
        values = 1000 * (1 - torch.arange(steps) / steps)
        dtype = self.described.timestep_dtype
        return (values if dtype is None else values.round().to(dtype)).to(self.device)

    def given(self, timestep: Tensor) -> Tensor:
        """What the model's pipeline gives it for a timestep of the scheduler. [B]"""
        dtype = self.described.timestep_dtype or self.dtype
        rows, divisor = timestep.expand(len(self.latents)).to(dtype), self.described.divisor
        return rows if divisor == 1 else rows / divisor

    @torch.inference_mode()
    def run(
        self,
        steps: int,
        until: int | None = None,
        at: Collection[int] = (),
        how: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> float:
        """Seconds.

        Args:
            steps: Steps of the loop.
            until: Break off before this one; None: at the end.
            at: The steps each of which is run within what ``how`` makes.
            how: Makes what measures a step.
        """
        if self.begin is not None:
            self.begin()
        self.is_whole = False
        self.full.clear()
        nothing = contextlib.nullcontext()
        named = getattr(self.model, "cache_context", lambda name: nothing)
        self.times = StepTimes(torch.device(self.device))
        timesteps, latents, start = self.timesteps(steps)[:until], self.latents, self.now()
        for self.step, timestep in enumerate(timesteps):
            inputs = self.inputs | {"timestep": self.given(timestep), "return_dict": False}
            with named("cond"), how() if self.step in at else nothing:
                self.times.start()
                out = self.model(latents, **inputs)[0]
                self.times.stop("full" if self.step in self.full else "cached")
            latents = latents - out[:, : latents.shape[1]] / steps
        self.result = latents
        seconds = self.now() - start
        self.is_whole = len(timesteps) == steps
        return seconds

    def now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def last_query(model: Any) -> nn.Module:
    """What runs on full steps only, whoever caches: the query projection of the last block."""
    names = ("single_transformer_blocks", "transformer_blocks", "blocks")
    blocks = next(getattr(model, name) for name in names if hasattr(model, name))
    attention = getattr(blocks[-1], "attn", None) or blocks[-1].attn1
    projection: nn.Module = attention.to_q
    return projection
