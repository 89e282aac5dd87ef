"""Where a run begins and which of its steps this is: three ways to know, best first."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs


class Runs(Protocol):
    """Counts the steps of runs.

    Attributes:
        known_by: How, in words for a summary.
        num_steps: Steps of the current run; None where that is not known.
    """

    known_by: str
    num_steps: int | None

    def is_new(self, args: Args, kwargs: Kwargs) -> bool:
        """Whether this call of the model is the first of a run; asked once a call."""

    def restart(self) -> None:
        """The next call is the first of a run."""


class PipelineRuns:
    """A pipeline's scheduler makes new timesteps for every run: nothing is read from the device."""

    known_by = "the pipeline's scheduler"

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = weakref.ref(pipeline)
        self._timesteps: Any = None
        self._calls = 0
        self.num_steps: int | None = None

    def is_new(self, args: Args, kwargs: Kwargs) -> bool:
        pipeline = self._pipeline()
        if pipeline is None:
            raise RuntimeError(
                "the pipeline this cache was enabled on is gone: call disable_cache, then "
                "enable_cache on the model itself"
            )
        timesteps = pipeline.scheduler.timesteps
        new = timesteps is not self._timesteps
        if new:
            self._timesteps, self._calls = timesteps, 0
            self.num_steps = len(timesteps)
        self._calls += 1
        if self._calls > len(timesteps):
            raise RuntimeError(
                f"the scheduler has {self.num_steps} timesteps but the model was called "
                f"{self._calls} times: pipelines that call it more than once a timestep are not "
                "supported"
            )
        return new

    def restart(self) -> None:
        self._timesteps = None


class KnownTimesteps:
    """The caller gave the timesteps of a run: their number is its length.

    A run that was broken off is noticed where the model's timestep can be read without waiting for
    a device; elsewhere ``reset`` says so.
    """

    known_by = "the timesteps given"

    def __init__(
        self,
        timesteps: Sequence[float] | Tensor,
        timestep: Callable[[Args, Kwargs], Tensor | float | None] | None,
    ) -> None:
        if len(timesteps) == 0:
            raise ValueError("timesteps must name at least one step, got none")
        self.num_steps: int | None = len(timesteps)
        self._calls = 0
        self._rising = None if timestep is None else RisingTimestep(timestep)

    def is_new(self, args: Args, kwargs: Kwargs) -> bool:
        rising = self._rising
        rose = (
            rising is not None
            and rising.costs_nothing(args, kwargs)
            and rising.is_new(args, kwargs)
        )
        if rose or self._calls == self.num_steps:
            self._calls = 0
        self._calls += 1
        return self._calls == 1

    def restart(self) -> None:
        self._calls = 0
        if self._rising is not None:
            self._rising.restart()


class RisingTimestep:
    """A bare model: sampling descends, so a timestep that rises begins a run.

    The timestep is read on the host once a call; equal ones are second-order calls.
    """

    known_by = "the timestep, read on the host once a call"

    def __init__(self, timestep: Callable[[Args, Kwargs], Tensor | float | None]) -> None:
        self.num_steps: int | None = None
        self._timestep = timestep
        self._last: float | None = None

    def costs_nothing(self, args: Args, kwargs: Kwargs) -> bool:
        """Whether the timestep can be read without waiting for a device."""
        given = self._timestep(args, kwargs)
        return given is not None and not (isinstance(given, Tensor) and given.is_cuda)

    def is_new(self, args: Args, kwargs: Kwargs) -> bool:
        given = self._timestep(args, kwargs)
        if given is None:
            raise ValueError("timestep must be among the model's inputs, got none")
        now = float(given.flatten()[0]) if isinstance(given, Tensor) else float(given)
        new = self._last is None or now > self._last
        self._last = now
        return new

    def restart(self) -> None:
        self._last = None
