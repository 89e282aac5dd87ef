"""A denoising loop without a pipeline, and what it measures: seconds, steps of a kind, kernels."""

import contextlib
import time
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from clusca_ext.timing import StepTimes
from models import Model, make


class Loop:
    """Euler steps from noise, on one set of inputs.

    Attributes:
        result: What the last run ended with.
        times: Of its steps, by kind.
        begin: Called before every run; None: nothing.
    """

    result: Tensor
    times: StepTimes
    begin: Callable[[], object] | None = None

    def __init__(self, described: Model, device: str, dtype: torch.dtype) -> None:
        self.scale, self.device, self.dtype = described.scale, device, dtype
        self.model = make(described, device, dtype)
        generator = torch.Generator(device).manual_seed(0)

        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, device=device, dtype=dtype)

        self.latents, self.inputs = random(*described.latents), described.inputs(random)

    def timesteps(self, steps: int) -> list[float]:
        return [1000.0 * (1 - step / steps) * self.scale for step in range(steps)]

    @torch.inference_mode()
    def run(self, steps: int, full: Collection[int] = (), profiled: int = -1) -> float:
        """Seconds.

        Args:
            steps: Steps of the loop.
            full: Those that are timed as full ones; the others are timed as cached.
            profiled: The step whose kernels are counted; none: -1.
        """
        if self.begin is not None:
            self.begin()
        named = getattr(self.model, "cache_context", lambda name: contextlib.nullcontext())
        self.times = StepTimes(torch.device(self.device))
        latents, start = self.latents, self.now()
        for step, value in enumerate(self.timesteps(steps)):
            timestep = torch.full((len(latents),), value, device=self.device, dtype=self.dtype)
            with named("cond"), self._counted() if step == profiled else contextlib.nullcontext():
                self.times.start()
                out = self.model(latents, timestep=timestep, return_dict=False, **self.inputs)[0]
                self.times.stop("full" if step in full else "cached")
            latents = latents - out[:, : latents.shape[1]] / steps
        self.result = latents
        return self.now() - start

    @contextlib.contextmanager
    def _counted(self) -> Any:
        """A step's kernels and how long they run, launches and waiting aside."""
        self.now()
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            yield
            self.now()
        kernels = [
            each
            for each in profiler.events()
            if each.device_type == DeviceType.CUDA and not each.is_user_annotation
        ]
        self.kernels = len(kernels)
        self.kernels_ms = sum(each.time_range.elapsed_us() for each in kernels) / 1e3

    def now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()
