"""How the timesteps of calls go on: what a call's says of the run it belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.runs.inputs import Conditions, conditions_of, highest, is_equal


@dataclass
class Direction:
    """Which way the timesteps of runs go: down, as long as nothing else is known."""

    ascends: bool = False

    def forward(self, change: float) -> float:
        """How far a change goes in it."""
        return change if self.ascends else -change


def place_of(
    description: ModelDescription,
    timesteps: Tensor,
    places: Sequence[int],
    args: Args,
    kwargs: Kwargs,
) -> int | None:
    """At which of these places in a run's timesteps a call is, by its own, read on the host.

    None where the model is given no timestep.
    """
    given = None if description.timestep is None else description.timestep(args, kwargs)
    if given is None:
        return None
    dtype = given.dtype if isinstance(given, Tensor) else timesteps.dtype
    announced = description.given_timestep(timesteps[list(places)], dtype).tolist()
    away = [abs(timestep - highest(given)) for timestep in announced]
    return places[away.index(min(away))]


class Pace:
    """At which steps of its scheduler a branch of guidance is called: all of them from one on, or
    every n-th.

    Attributes:
        first: The step at which it began.
        stride: Steps from one call to the next.
    """

    first, stride = 0, 1

    def begin(self, step: int) -> None:
        """A run begins, at this step."""
        self.first, self.stride = step, 1
        self._step, self._gap = step, 1

    def goes_on(self, step: int | None) -> bool:
        """Whether a call at a step is the next, as far as that is known; else it begins there.

        Where as many steps are left out twice in a row, that is the branch's pace from then on.
        """
        gap = 0 if step is None else step - self._step
        if step is None or gap in (0, self.stride):
            self._step = self._step if step is None else step
            return True
        self.first, self.stride = step, gap if gap == self._gap else 1
        self._step, self._gap = step, gap
        return False


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
