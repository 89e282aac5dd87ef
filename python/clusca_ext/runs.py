"""Where a run begins and which of its steps this is: three ways to know, best first."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.inputs import Conditions, conditions_of, highest, is_equal
from clusca_ext.pipelines import Pipelines


class Runs(Protocol):
    """Counts the steps of runs.

    Attributes:
        known_by: How, in words for a summary.
        num_steps: Steps of the current run; None where that is not known.
        timesteps: The current run's, one for each step; None where they are not known.
    """

    known_by: str
    num_steps: int | None
    timesteps: Tensor | None

    def is_new(self, args: Args, kwargs: Kwargs) -> bool:
        """Whether this call of the model is the first of a run; asked once a call."""

    def restart(self) -> None:
        """The next call is the first of a run."""


class PipelineRuns:
    """A pipeline's scheduler makes new timesteps for every run: nothing is read from the device.

    Somebody else may call the same model, with another scheduler: then a run begins again where
    ``Course`` sees it.
    """

    known_by = "the pipeline's scheduler"

    def __init__(self, pipelines: Pipelines, description: ModelDescription) -> None:
        self._pipelines, self._description = pipelines, description
        self._seen: Tensor | None = None
        self.timesteps: Tensor | None = None
        self._course: Course
        self._calls = 0
        self.num_steps: int | None = None

    def is_new(self, args: Args, kwargs: Kwargs) -> bool:
        pipeline, part = self._pipelines.caller()
        scheduler = pipeline.scheduler
        new = scheduler.timesteps is not self._seen
        if new:
            self._seen = scheduler.timesteps
            # Pipelines that begin with an image leave the first timesteps out.
            begin = getattr(scheduler, "begin_index", None) or 0
            self.timesteps = part(scheduler.timesteps[begin:])
            self.num_steps = len(self.timesteps)
            self._course = Course(self.timesteps, self._description)
        if self._course.begins_again(args, kwargs, self._calls) or new:
            self._calls = 0
        self._calls += 1
        assert self.num_steps is not None
        if self._calls > self.num_steps:
            raise RuntimeError(
                f"the scheduler has {self.num_steps} timesteps but the model was called "
                f"{self._calls} times in one branch: pipelines that call it more than once a "
                "timestep are not supported"
            )
        return self._calls == 1

    def restart(self) -> None:
        self._seen = None


class KnownTimesteps:
    """The caller gave the timesteps of a run: their number is its length.

    A run that was broken off is noticed where ``Course`` sees it; elsewhere ``reset`` says so.
    """

    known_by = "the timesteps given"

    def __init__(self, timesteps: Sequence[float] | Tensor, description: ModelDescription) -> None:
        if not hasattr(timesteps, "__len__"):
            raise ValueError(f"timesteps must be those of a whole run, got {timesteps!r}")
        if len(timesteps) == 0:
            raise ValueError("timesteps must name at least one step, got none")
        known = timesteps
        if isinstance(timesteps, Tensor):
            timesteps = timesteps.tolist()
        values = [float(timestep) for timestep in timesteps]
        self.timesteps: Tensor | None = known if isinstance(known, Tensor) else torch.tensor(values)
        self.num_steps: int | None = len(timesteps)
        self.ascend = values[-1] > values[0]
        self._calls = 0
        self._course = Course(timesteps, description)

    def is_new(self, args: Args, kwargs: Kwargs) -> bool:
        again = self._course.begins_again(args, kwargs, self._calls)
        if again or self._calls == self.num_steps:
            self._calls = 0
        self._calls += 1
        return self._calls == 1

    def restart(self) -> None:
        self._calls = 0
        self._course.restart()


class RisingTimestep:
    """A bare model: sampling descends, so a timestep that does not begins a run.

    The timestep is read on the host once a call. After a descent it may repeat once, under the same
    conditions: the second call of a second-order step.
    """

    known_by = "the timestep, read on the host once a call"

    def __init__(self, description: ModelDescription) -> None:
        self.num_steps: int | None = None
        self.timesteps: Tensor | None = None
        self._watch = Watch(description)
        self._rose = self._descended = False  # what the call before did

    def is_new(self, args: Args, kwargs: Kwargs) -> bool:
        change = self._watch.read(args, kwargs)
        rose, descended = change is not None and change > 0, change is not None and change < 0
        if rose and self._rose:
            raise ValueError(
                "timestep must descend within a run, got three calls in a row that rise: tell the "
                "cache the timesteps of a run, enable_cache(..., timesteps=...)"
            )
        second = change == 0 and self._descended
        if second:
            self._watch.require_same_conditions()
        self._rose, self._descended = rose, descended
        return not (descended or second)

    def restart(self) -> None:
        self._watch.restart()
        self._rose = self._descended = False


class Course:
    """Sees that a run of known timesteps begins again before its end, or is called in branches.

    Only where a call's timestep can be read without waiting for a device. The timesteps may ascend
    or descend; where they do both, nothing is seen.
    """

    def __init__(self, timesteps: Sequence[float] | Tensor, description: ModelDescription) -> None:
        hidden = isinstance(timesteps, Tensor) and timesteps.is_cuda
        values = [] if hidden else [float(timestep) for timestep in timesteps]
        signs = {(b > a) - (b < a) for a, b in zip(values, values[1:], strict=False)}
        self._direction = 0 if signs >= {-1, 1} else sum(signs)
        self._first_may_repeat = len(values) < 2 or values[0] == values[1]
        self._watch = Watch(description)

    def begins_again(self, args: Args, kwargs: Kwargs, calls: int) -> bool:
        """Whether this call, after ``calls`` of the run, is the first of another."""
        change = self._watch.read(args, kwargs) if self._watch.is_free(args, kwargs) else None
        if change is None:
            return False
        if change == 0 and calls > 1:
            self._watch.require_same_conditions()
        first_again = change == 0 and calls == 1 and not self._first_may_repeat
        return change * self._direction < 0 or first_again

    def restart(self) -> None:
        self._watch.restart()


class Watch:
    """The timestep and conditions of a call of the model, beside those of the call before."""

    def __init__(self, description: ModelDescription) -> None:
        self._description = description
        self.restart()

    def restart(self) -> None:
        self._timestep: float | None = None
        self._conditions: Conditions = {}
        self._before: Conditions = {}

    def _find(self, args: Args, kwargs: Kwargs) -> Tensor | float | None:
        find = self._description.timestep
        return None if find is None else find(args, kwargs)

    def is_free(self, args: Args, kwargs: Kwargs) -> bool:
        """Whether the timestep can be read without waiting for a device."""
        given = self._find(args, kwargs)
        return given is not None and not (isinstance(given, Tensor) and given.is_cuda)

    def read(self, args: Args, kwargs: Kwargs) -> float | None:
        """How far the timestep went since the call before; None at the first call."""
        given = self._find(args, kwargs)
        if given is None:
            raise ValueError("timestep must be among the model's inputs, got none")
        now = highest(given)
        change = None if self._timestep is None else now - self._timestep
        self._before = self._conditions if change == 0 else {}
        self._conditions = conditions_of(self._description, args, kwargs)
        self._timestep = now
        return change

    def require_same_conditions(self) -> None:
        """For a second call at one timestep: it may be a second-order step, but no other branch."""
        for name, tensors in self._conditions.items():
            before = self._before.get(name, [])
            if len(before) != len(tensors) or not all(map(is_equal, before, tensors)):
                raise ValueError(
                    f"input {name!r} must be the same in both calls at timestep {self._timestep}, "
                    "got another: name the branch of guidance of separate calls, with "
                    'model.cache_context("cond") around each, or batch the branches together and '
                    'name their rows, cfg_rows=("cond", "uncond")'
                )
