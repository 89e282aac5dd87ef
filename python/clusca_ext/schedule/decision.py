"""WHEN: which modules of which block are computed at a step, and which are forecast.

A schedule is a description. ``start`` makes of it what decides the steps of one run, so a schedule
that looks at data or learns keeps its state there:

- all modules (``True``, a full step), none (``False``, a cached step), or a mask: the set of
  ``(block, module)`` that are computed while the others are forecast;
- the decision may depend on the step's index, the model's inputs, and what was decided before.

It is made once a step, on the host and outside compiled code. A module that has never been computed
is computed, whatever the schedule says.

A schedule that adapts to what a step shows names a ``signal``; ``start`` then returns ``Adapting``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from clusca_ext.changes import MEASURES
from clusca_ext.checks import index

Key = tuple[int, str]  # of a module: index of its block, its name
Mask = frozenset[Key]
Decision = bool | Mask

TIMESTEP = ("embedded timestep", "projected timestep")  # signals: its embedding
AT_ENTRY = ("modulated input", *TIMESTEP)  # what there is when the first block is called
VERIFIED = ("verified", "verified output")  # what a cached step computes beside its forecast
KINDS = (*AT_ENTRY, "first block", "residual", *VERIFIED)  # signals: all of them


@dataclass(frozen=True)
class Step:
    """What a schedule may look at.

    Attributes:
        index: Steps of the run before this one.
        num_steps: Steps of the run; None where that is not known.
        last_full: Index of the last full step; None before the first.
        args: Positional inputs of the model's call.
        kwargs: Keyword inputs of the model's call.
        modules: All cached modules of the model, each as (block, name).
        timesteps: The run's, one for each step, wherever the scheduler has them; None where they
            are not known.
    """

    index: int
    num_steps: int | None = None
    last_full: int | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    modules: Mask = frozenset()
    timesteps: Tensor | None = None


@dataclass(frozen=True)
class Signal:
    """What a schedule is told of every step, for each sample by itself: how much something changed.

    Attributes:
        kind: What is looked at.

            - ``"modulated input"``: what the first block's first module reads, before the step is
              decided; against that of the step before.
            - ``"embedded timestep"``: the timestep's embedding, before the step is decided; against
              that of the step before. Where the model's ``embeddings`` say where it is, as those of
              Wan and CogVideoX.
            - ``"projected timestep"``: what Wan projects that to for its blocks, shift, scale and
              gate of their modules; likewise.
            - ``"first block"``: what the first block adds to its stream, before the others are
              decided; against the last step that computed them. That block is never cached.
            - ``"residual"``: what a block adds to its stream, on full steps; against the full step
              before, for every step between them.
            - ``"verified"``: what a cached step forecasts for a block, against what this makes of
              the same input: it is computed too.
            - ``"verified output"``: the same of what the block's last module returns, before its
              gate.
        block: Index of the block, where ``kind`` asks for one; negative: from the last one; None:
            the one in the middle.
        measure: How a change from b to a is measured: ``"relative_l1"``, ``sum |a - b| / sum |b|``;
            ``"relative_l2"``, the relative Euclidean distance; ``"mean_relative_l1"``, the mean of
            ``|a - b| / (|b| + 1e-10)``, ``"mean_relative_l2"``, the root of the mean of its square;
            ``"mean_l1"`` and ``"mean_l2"``, the same of ``|a - b|``; ``"cosine"``, 1 - the cosine.
    """

    kind: str
    block: int | None = None
    measure: str = "relative_l1"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {list(KINDS)}, got {self.kind!r}")
        if self.block is not None:
            index("block", self.block)
        if self.measure not in MEASURES:
            raise ValueError(f"measure must be one of {list(MEASURES)}, got {self.measure!r}")


class Adapting(Protocol):
    """The decisions of a run that depend on what its steps show.

    Attributes:
        max_interval: Steps from one full step to the next, at most; 0: no bound.
        verifies: Whether the cached step that was decided last verifies its block.
    """

    max_interval: int
    verifies: bool

    def __call__(self, step: Step) -> Decision | None:
        """What a step is; None: that is decided when its signal is seen."""

    def see(self, step: Step, change: float | None) -> Decision:
        """A step's signal; None at the first. What it returns decides the step, if that was left
        open; signals of a whole step come when it is over."""


class Schedule(Protocol):
    """Describes when modules are computed.

    One that names modules may have a method ``require``, given whether a mask may compute each of
    the model's modules, by block and name: it raises where the two do not fit. Its
    ``masked``, given the same, says which modules some step computes while others are forecast: for
    those that attend to text, that is kept.
    """

    def start(self, num_steps: int | None) -> Callable[[Step], Decision | None]:
        """What decides the steps of a run of ``num_steps`` steps (None: not known).

        Where it is ``ByIndex``, the cache sees which steps are coming, and prepares for them; where
        it is ``Bounded``, how many they may be.
        """


def masked_by(schedule: Schedule, modules: Mapping[Key, bool]) -> Mask:
    """The modules that some step computes while others are forecast, as the schedule says."""
    says = getattr(schedule, "masked", None)
    return frozenset(says(modules)) if callable(says) else frozenset()


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
