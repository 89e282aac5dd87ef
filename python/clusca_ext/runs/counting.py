"""Where a run begins and which of its steps this is: four ways to know, best first."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.runs.context import Context
from clusca_ext.runs.course import Course, Direction, Pace, Watch, place_of
from clusca_ext.runs.pipelines import Pipelines


class Runs(Protocol):
    """Counts the steps of runs.

    Attributes:
        known_by: How, in words for a summary.
        num_steps: Steps of the current run; None where that is not known.
        timesteps: The current run's, one for each step; None where they are not known.
        first: At which step of a pipeline's run it began: later than others' where its branch of
            guidance did.
    """

    known_by: str
    num_steps: int | None
    timesteps: Tensor | None
    first: int

    def is_new(self, args: Args, kwargs: Kwargs) -> bool:
        """Whether this call of the model is the first of a run; asked once a call."""

    def goes_on(self, args: Args, kwargs: Kwargs) -> bool:
        """Whether this call, whose inputs are of another shape, is of the same run; asked first."""

    def restart(self) -> None:
        """The next call is the first of a run."""


class PipelineRuns:
    """A pipeline's scheduler makes new timesteps for every run: nothing is read from the device.

    Somebody else may call the same model, with another scheduler: then a run begins again where
    ``Course`` sees it. A branch of guidance that is called from a later step on begins its run
    there, as far as the scheduler counts steps; so does one that was left out for some.
    """

    known_by = "the pipeline's scheduler"

    def __init__(self, pipelines: Pipelines, description: ModelDescription) -> None:
        self._pipelines, self._description = pipelines, description
        self._seen: Tensor | None = None
        self.first, self._pace = 0, Pace()
        self.timesteps: Tensor | None = None
        self._course: Course
        self._calls = 0
        self.num_steps: int | None = None

    def is_new(self, args: Args, kwargs: Kwargs) -> bool:
        pipeline, part = self._pipelines.caller()
        scheduler = pipeline.scheduler
        step = getattr(scheduler, "step_index", None)
        if not isinstance(step, int) or step >= len(scheduler.timesteps):  # or of a run before
            step = None
        new = scheduler.timesteps is not self._seen
        if new:
            if step is None:  # pipelines that begin with an image leave the first timesteps out
                step = getattr(scheduler, "begin_index", None) or self._left_out(args, kwargs)
            self._pace.begin(step)
        if new or not self._pace.goes_on(step):
            new, self._seen, self.first = True, scheduler.timesteps, self._pace.first
            self.timesteps = part(scheduler.timesteps[self.first :: self._pace.stride])
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

    def _left_out(self, args: Args, kwargs: Kwargs) -> int:
        """How many timesteps a pipeline leaves out that does not tell its scheduler.

        Its own count of them may be of a run before, where somebody else calls: the timestep tells.
        """
        pipeline, _ = self._pipelines.caller()
        timesteps, used = pipeline.scheduler.timesteps, getattr(pipeline, "num_timesteps", None)
        if not isinstance(used, int) or not 0 < used < len(timesteps):
            return 0
        left_out = len(timesteps) - used
        place = place_of(self._description, timesteps, (0, left_out), args, kwargs)
        return left_out if place is None else place

    def goes_on(self, args: Args, kwargs: Kwargs) -> bool:
        pipeline, _ = self._pipelines.caller()
        if pipeline.scheduler.timesteps is not self._seen:
            return False
        self._course.restart()
        return _goes_on(self, self._calls, self._description, args, kwargs, default=True)

    def restart(self) -> None:
        self._seen = None


class KnownTimesteps:
    """The caller gave the timesteps of a run: their number is its length.

    A run that was broken off is noticed where ``Course`` sees it; elsewhere ``reset`` says so.
    """

    known_by, first = "the timesteps given", 0

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
        self._description = description
        self._course = Course(timesteps, description)

    def is_new(self, args: Args, kwargs: Kwargs) -> bool:
        again = self._course.begins_again(args, kwargs, self._calls)
        if again or self._calls == self.num_steps:
            self._calls = 0
        self._calls += 1
        return self._calls == 1

    def goes_on(self, args: Args, kwargs: Kwargs) -> bool:
        self._course.restart()
        return _goes_on(self, self._calls, self._description, args, kwargs, default=False)

    def restart(self) -> None:
        self._calls = 0
        self._course.restart()


def _goes_on(
    runs: Runs,
    calls: int,
    description: ModelDescription,
    args: Args,
    kwargs: Kwargs,
    default: bool,
) -> bool:
    """Whether a call after ``calls`` of a run is its next, or the first of another.

    Args: and what it is taken for where it has no timestep.
    """
    if runs.timesteps is None or not 0 < calls < len(runs.timesteps):
        return False
    place = place_of(description, runs.timesteps, (calls, 0), args, kwargs)
    return default if place is None else place == calls


class ContextRuns:
    """A bare model's, where the cache context around a call says its step; else as ``otherwise``.

    Of two models that a pipeline calls one after the other, the second begins at a later step; the
    first is thought to go on to the end.
    """

    first = 0

    def __init__(self, context: Context, otherwise: Runs) -> None:
        self._context, self._otherwise = context, otherwise
        self.known_by = otherwise.known_by
        self.timesteps: Tensor | None = None
        self.num_steps: int | None = None
        self._before: tuple[int, int | None] | None = None

    def is_new(self, args: Args, kwargs: Kwargs) -> bool:
        index, length = self._context.step_index, self._context.num_steps
        if index is None:
            if self._before is not None:
                self.restart()
            self.known_by, self.num_steps = self._otherwise.known_by, None
            return self._otherwise.is_new(args, kwargs)
        new = not self.goes_on(args, kwargs)
        self.known_by, self._before = "the cache context of the calls", (index, length)
        if new:
            self.num_steps = None if length is None else length - index
        return new

    def goes_on(self, args: Args, kwargs: Kwargs) -> bool:
        index, length = self._context.step_index, self._context.num_steps
        if index is None or self._before is None:
            return False
        return index > self._before[0] and length == self._before[1]

    def restart(self) -> None:
        self._before = None
        self._otherwise.restart()


class RisingTimestep:
    """A bare model: sampling descends, so a timestep that does not begins a run.

    Or it ascends: where the timestep goes against the direction twice in a row, the direction was
    the other one. The timestep is read on the host once a call. After a step in the direction it
    may repeat once, under the same conditions: the second call of a second-order step.

    Args:
        description: The model's.
        direction: That of all branches' runs.
    """

    known_by, first = "the timestep, read on the host once a call", 0

    def __init__(self, description: ModelDescription, direction: Direction) -> None:
        self.num_steps: int | None = None
        self.timesteps: Tensor | None = None
        self._watch, self._direction = Watch(description), direction
        self._before = 0.0  # how far the call before went

    def is_new(self, args: Args, kwargs: Kwargs) -> bool:
        change = self._watch.read(args, kwargs) or 0.0
        forward = self._direction.forward(change)
        if forward < 0 and self._before < 0:
            self._direction.ascends = not self._direction.ascends
            forward = -forward
        second = change == 0 and self._before > 0
        if second:
            self._watch.require_same_conditions()
        self._before = forward
        return not (forward > 0 or second)

    def goes_on(self, args: Args, kwargs: Kwargs) -> bool:
        return False  # nobody says so

    def restart(self) -> None:
        self._watch.restart()
        self._before = 0.0
