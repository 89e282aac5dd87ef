"""Tells branches of guidance by what a model is given."""

from collections.abc import Callable
from itertools import combinations

from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.runs.course import Direction
from clusca_ext.runs.inputs import Conditions, conditions_of, highest, is_equal

MAX_BRANCHES = 3  # as editing pipelines have: prompt, image, neither
Same = Callable[[Tensor, Tensor], bool]


class ByConditions:
    """By what a model is given beside latents and timestep.

    Branches are seen in a run's first step, as calls at one timestep under other conditions. Later
    calls are theirs whose conditions they bring: the same tensors, or the same values. Only where
    tensors are new are values compared, and read on the host.
    """

    def __init__(self, description: ModelDescription, direction: Direction | None = None) -> None:
        self._description, self._direction = description, direction or Direction()
        self.restart()

    def restart(self) -> None:
        self._known: dict[str, Conditions] = {}
        self._timestep: Tensor | float | None = None
        self._in_first_step = True  # each known branch has been called once
        self._turn: set[str] = set()  # of the branches, those that have called in this one

    def name(self, args: Args, kwargs: Kwargs) -> str:
        find = self._description.timestep
        if find is None:
            return "call 1"
        timestep, given = find(args, kwargs), conditions_of(self._description, args, kwargs)
        found = self._same(given, _is) or self._same(given, is_equal)
        if found is not None:
            self._in_first_step = False
        else:
            found = self._tell(given, self._change(timestep))
        self._known[found] = given
        self._turn = {found} if found in self._turn else self._turn | {found}
        # Its owner may write the next one into it.
        self._timestep = timestep.clone() if isinstance(timestep, Tensor) else timestep
        return found

    def _same(self, given: Conditions, same: Same) -> str | None:
        return next((name for name in self._known if _agree(self._known[name], given, same)), None)

    def _tell(self, given: Conditions, change: float) -> str:
        """The branch of a call under new conditions."""
        self._in_first_step &= change == 0
        if self._in_first_step:
            if len(self._known) == MAX_BRANCHES:  # no branches, but runs of one step
                self._known.clear()
            return f"call {len(self._known) + 1}"
        if change != 0 and len(self._known) == 1:  # conditions may change from step to step
            self._in_first_step = change > 0
            return next(iter(self._known))
        alike = self._alike(given)
        if len(alike) == 1:
            return alike[0]
        waiting = [name for name in self._known if name not in self._turn]
        if change == 0 and len(waiting) == 1:  # the others have called
            return waiting[0]
        if change > 0 and not alike:  # a new run
            self.restart()
            return "call 1"
        raise ValueError(
            "conditions of a call must be those of a branch of guidance seen in the first step, "
            'got others: name the branch, with model.cache_context("cond") around the call or '
            "enable_cache(..., branch=function of the model's inputs), or batch the branches "
            'together and name their rows, cfg_rows=("cond", "uncond")'
        )

    def _alike(self, given: Conditions) -> list[str]:
        """The branches with which a call shares something that tells them apart.

        Other conditions may change with every step, as a ControlNet's.
        """
        branches = list(self._known.values())
        telling = [
            name
            for name in branches[0]
            if not all(_agree(one, two, is_equal, name) for one, two in combinations(branches, 2))
        ]
        return [
            branch
            for branch, known in self._known.items()
            if any(_agree(known, given, is_equal, name) for name in telling)
        ]

    def _change(self, timestep: Tensor | float | None) -> float:
        """How far the timestep went since the call before, in the direction of new runs."""
        if timestep is None or self._timestep is None:
            return 0.0
        return -self._direction.forward(highest(timestep) - highest(self._timestep))


def _is(a: Tensor, b: Tensor) -> bool:
    return a is b


def _agree(one: Conditions, two: Conditions, same: Same, *names: int | str) -> bool:
    """Whether conditions are the same; with names: whether these are."""
    if not names and one.keys() != two.keys():
        return False
    for name in names or one:
        a, b = one.get(name, []), two.get(name, [])
        if len(a) != len(b) or not all(map(same, a, b)):
            return False
    return True
