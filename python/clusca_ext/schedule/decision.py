"""WHEN: which modules of which block are computed at a step, and which are forecast.

A schedule is a description. ``start`` makes of it what decides the steps of one run, so a schedule
that looks at data or learns keeps its state there:

- all modules (``True``, a full step), none (``False``, a cached step), or a mask: the set of
  ``(block, module)`` that are computed while the others are forecast;
- the decision may depend on the step's index, the model's inputs, and what was decided before.

It is made once a step, on the host and outside compiled code. A module that has never been computed
is computed, whatever the schedule says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Mask = frozenset[tuple[int, str]]
Decision = bool | Mask


@dataclass(frozen=True)
class Step:
    """What a schedule may look at.

    Attributes:
        index: Steps of the run before this one.
        num_steps: Steps of the run; None where that is not known.
        last_full: Index of the last full step; None before the first.
        args: Positional inputs of the model's call.
        kwargs: Keyword inputs of the model's call.
    """

    index: int
    num_steps: int | None = None
    last_full: int | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


class Schedule(Protocol):
    def start(self, num_steps: int | None) -> Callable[[Step], Decision]:
        """What decides the steps of a run of ``num_steps`` steps (None: not known).

        Where it is ``ByIndex``, the cache sees which steps are coming, and prepares for them; where
        it is ``Bounded``, how many they may be.
        """


@dataclass(frozen=True)
class ByIndex:
    """Decisions that depend on the step's index alone.

    Attributes:
        is_full: Whether the step of an index is full; all others are cached.
    """

    is_full: Callable[[int], bool]

    def __call__(self, step: Step) -> bool:
        return self.is_full(step.index)


@dataclass(frozen=True)
class Bounded:
    """Decisions that may depend on anything, within a bound.

    Attributes:
        decide: What a step is.
        max_interval: Steps from one full step to the next, at most.
    """

    decide: Callable[[Step], Decision]
    max_interval: int

    def __call__(self, step: Step) -> Decision:
        return self.decide(step)
