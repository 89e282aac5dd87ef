"""Modulation of many steps in one product a block, where the timesteps of a run are known.

A cached step has little to compute, so that embedding its timestep block by block would be a good
part of it. A plan is only used where it is known to be what the block would compute itself: the
step's timestep and conditions are those it was made from. On a device values are not waited for:
there a run's timesteps are trusted once one of its steps was seen to be given its own, and a step
that was not, after all, is an error as soon as that is known.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription, Modulation
from clusca_ext.device_check import DeviceCheck
from clusca_ext.executor import BlockExecutor
from clusca_ext.given import Given, is_free
from clusca_ext.offload import is_offloaded
from clusca_ext.storage import moved

MAX_BYTES = 128 * 2**20  # of a plan; longer runs are planned piece by piece


class ModulationPlan:
    """The modulation of a run's coming steps.

    Args:
        description: The model's; one without ``conditions`` is never planned.
        blocks: What the modulation of a step is given to.

    Attributes:
        known: Steps from this one on that are planned; none where blocks compute it themselves.
        edition: Of a run: as long as it stays, what is planned was made from the same conditions.
    """

    def __init__(self, description: ModelDescription, blocks: Sequence[BlockExecutor]) -> None:
        self._description = description
        self._blocks = blocks
        self.begin(None)

    def begin(self, timesteps: Tensor | None) -> None:
        """A run begins. Its timesteps: one for each step [num_steps]; None: they are not known."""
        of = self._description
        foreseen = of.conditions is not None or of.groups is not None
        self._timesteps = timesteps if foreseen else None
        self._planned: list[list[list[Modulation]]] = []  # of every step, block and module
        self._step_bytes = 0
        self._steps = range(0)  # the S steps of the run that are planned
        self._gates: list[Tensor | None] = []  # of every module [S, 1 or B, D]
        self._given: Given | None = None
        self._check: DeviceCheck | None = None
        self._trusted = False  # a step has been given what the check has not seen yet
        self.edition = 0
        self._give(None)

    def look(self, step: int, args: Args, kwargs: Kwargs) -> None:
        """A full step: whether it is given its timestep says whether others are."""
        given = self._timestep(step, args, kwargs)
        if given is not None and not is_free(given):
            self._agrees(given, step)

    def use(self, step: int, args: Args, kwargs: Kwargs) -> None:
        """Give every block its modulation of a step, or None where it must compute it itself."""
        at = self._given_timestep(step, args, kwargs)
        if at is None:
            self._give(None)
            return
        find = self._description.conditions
        conditions = None if find is None else find(args, kwargs)
        if conditions is None:
            self._give(None)
            return
        same = self._given is not None and self._given.holds(conditions)
        if step not in self._steps or not same:
            count = self._piece() if same else 1
            self.edition += not same
            self._make(step, count, at, conditions, args, kwargs)
        self._give(step - self._steps.start)

    def modulation(self, steps: range, at: torch.dtype, like: Given) -> list[list[Modulation]]:
        """That of every block and module at some steps S of the run, each [S, 1 or B, D].

        Args:
            steps: The steps, whose timesteps are known.
            at: What the model is given timesteps in.
            like: What else it is given.
        """
        embedded = self._description.embed(self._announced(steps, at), like.conditions, like.dtype)
        return self._of_blocks(embedded)

    def modulation_of_groups(
        self, steps: range, at: torch.dtype, like: Given
    ) -> list[list[list[Modulation]]]:
        """The same for each group of tokens; one, where the model has no groups."""
        groups = self._description.groups
        if groups is None:
            return [self.modulation(steps, at, like)]
        embedded = groups.embed(self._announced(steps, at), like.conditions, like.dtype)
        return [self._of_blocks(each) for each in embedded]

    def _announced(self, steps: range, at: torch.dtype) -> Tensor:
        assert self._timesteps is not None
        timesteps = self._timesteps[steps.start : steps.stop]
        return self._description.given_timestep(timesteps, at)

    def _of_blocks(self, embedded: Any) -> list[list[Modulation]]:
        planned = [block.description.plan for block in self._blocks]
        return [list(plan(embedded)) for plan in planned if plan is not None]

    def gates(self, steps: range) -> list[Tensor | None]:
        """Those of all modules at some of the known steps S. [S, B, D] or [S, 1, D]"""
        first = self._steps.start
        rows = slice(steps.start - first, steps.stop - first)
        return [None if gate is None else gate[rows] for gate in self._gates]

    @property
    def num_steps(self) -> int:
        """Of the run, where its timesteps are known; else 0."""
        return 0 if self._timesteps is None else len(self._timesteps)

    def bytes(self) -> int:
        return self._step_bytes * len(self._planned)

    def foreseen(self, step: int, args: Args, kwargs: Kwargs) -> tuple[Tensor, Given] | None:
        """What coming modulation is made from, where all of it is known now; else None."""
        return None if self._is_offloaded(args, kwargs) else self.given(step, args, kwargs)

    def given(self, step: int, args: Args, kwargs: Kwargs) -> tuple[Tensor, Given] | None:
        """The model's timestep and its conditions at a step of the run; None: it says no such."""
        given = self._timestep(step, args, kwargs)
        if given is None:
            return None
        groups = self._description.groups
        find = self._description.conditions if groups is None else groups.conditions
        conditions = None if find is None else find(args, kwargs)
        if conditions is None:
            return None
        return given, Given.of(self._description, conditions, args, kwargs)

    def expected(self, step: int, given: Tensor) -> Tensor:
        """The timestep announced for a step, as the model is given it."""
        assert self._timesteps is not None
        return self._description.given_timestep(self._timesteps[step], given.dtype)

    def _given_timestep(self, step: int, args: Args, kwargs: Kwargs) -> Tensor | None:
        """The timestep the model was given, where it is the run's, seen without a host sync."""
        given = self._timestep(step, args, kwargs)
        if given is None or self._is_offloaded(args, kwargs):
            return None
        return given if self._agrees(given, step) else None

    def _timestep(self, step: int, args: Args, kwargs: Kwargs) -> Tensor | None:
        if self._timesteps is None or step >= len(self._timesteps):
            return None
        assert self._description.timestep is not None
        given = self._description.timestep(args, kwargs)
        if not isinstance(given, Tensor):
            return None
        self._timesteps = moved(self._timesteps, given.device)
        return given

    def _agrees(self, given: Tensor, step: int) -> bool:
        """Whether a step was given its timestep, as far as that is known."""
        expected = self.expected(step, given)
        if is_free(given):
            return bool((given == expected).all())
        one = given.numel() == 1 or not any(given.stride())
        if one and given.data_ptr() == expected.data_ptr():
            return True
        if self._check is None:
            self._check = DeviceCheck(given.device)
        held = self._check.held
        if held is False and self._trusted:
            raise ValueError(
                "timestep must be the one announced for its step, by the scheduler or as "
                "timesteps=, got another in this run: what came out since is wrong"
            )
        self._trusted = held is True
        self._check.look((given == expected).all())
        return self._trusted

    def _is_offloaded(self, args: Args, kwargs: Kwargs) -> bool:
        """Whether weights come to the device with their block's forward only."""
        device = self._description.latents(args, kwargs).device
        return any(is_offloaded(block.block, device) for block in self._blocks)

    def _piece(self) -> int:
        """Steps that fit into the plan's memory, by what the last ones took."""
        return max(1, MAX_BYTES // self._step_bytes) if self._step_bytes else 1

    def _make(
        self,
        step: int,
        count: int,
        at: Tensor,
        conditions: tuple[Tensor, ...],
        args: Args,
        kwargs: Kwargs,
    ) -> None:
        assert self._timesteps is not None and self._description.stream_shape is not None
        self._steps = range(step, min(step + count, len(self._timesteps)))
        self._given = Given.of(self._description, conditions, args, kwargs)
        planned = self.modulation(self._steps, at.dtype, self._given)
        B = self._description.stream_shape(args, kwargs)[0]
        self._gates = [each.gate for block in planned for each in block]
        blocks = [[_by_step(each, len(self._steps), B) for each in block] for block in planned]
        self._planned = [
            [[steps[row] for steps in block] for block in blocks] for row in range(len(self._steps))
        ]
        # Of what they are views of: rows may share memory, and what a block leaves unused is held.
        tensors = [t for block in self._planned[0] for each in block for t in each if t is not None]
        held = {s.data_ptr(): s.nbytes() for s in (t.untyped_storage() for t in tensors)}
        self._step_bytes = sum(held.values()) // len(self._steps)

    def _give(self, row: int | None) -> None:
        self.known = range(0) if row is None else self._steps[row:]
        for index, block in enumerate(self._blocks):
            block.planned = None if row is None else self._planned[row][index]


def _by_step(modulation: Modulation, count: int, B: int) -> list[Modulation]:
    """Of tensors [S, 1 or B, D], one modulation for each of S = ``count`` steps."""
    columns = [[None] * count if t is None else t.expand(-1, B, -1).unbind(0) for t in modulation]
    return [Modulation(*row) for row in zip(*columns, strict=True)]
