"""Modulation of many steps in one product a block, where the timesteps of a run are known.

A cached step has little to compute, so that embedding its timestep block by block would be a good
part of it. A plan is only used where it is known to be what the block would compute itself: the
step's timestep and conditions are those it was made from.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription, Modulation
from clusca_ext.executor import BlockExecutor
from clusca_ext.offload import is_offloaded

MAX_BYTES = 128 * 2**20  # of a plan; longer runs are planned piece by piece


class ModulationPlan:
    """The modulation of a run's coming steps.

    Args:
        description: The model's; one without ``conditions`` is never planned.
        blocks: What the modulation of a step is given to.
    """

    def __init__(self, description: ModelDescription, blocks: Sequence[BlockExecutor]) -> None:
        self._description = description
        self._blocks = blocks
        self.begin(None)

    def begin(self, timesteps: Tensor | None) -> None:
        """A run begins. Its timesteps: one for each step [num_steps]; None: they are not known."""
        self._timesteps = timesteps if self._description.conditions is not None else None
        self._planned: list[list[list[Modulation]]] = []  # of every step, block and module
        self._step_bytes = 0
        self._steps = range(0)  # the S steps of the run that are planned
        self._conditions: tuple[Tensor, ...] = ()
        self._give(None)

    def use(self, step: int, args: Args, kwargs: Kwargs) -> None:
        """Give every block its modulation of a step, or None where it must compute it itself."""
        at = self._given_timestep(step, args, kwargs)
        if at is None:
            self._give(None)
            return
        assert self._description.conditions is not None
        conditions = self._description.conditions(args, kwargs)
        same = _are_same(conditions, self._conditions)
        if step not in self._steps or not same:
            dtype = self._description.latents(args, kwargs).dtype
            self._make(step, self._piece() if same else 1, at, conditions, dtype)
        self._give(step - self._steps.start)

    def bytes(self) -> int:
        return self._step_bytes * len(self._planned)

    def _given_timestep(self, step: int, args: Args, kwargs: Kwargs) -> Tensor | None:
        """The timestep the model was given, where it is the run's, seen without a host sync."""
        if self._timesteps is None or step >= len(self._timesteps):
            return None
        assert self._description.timestep is not None
        given = self._description.timestep(args, kwargs)
        if not isinstance(given, Tensor) or self._is_offloaded(args, kwargs):
            return None
        expected = self._description.given_timestep(self._timesteps[step], given.dtype)
        if given.is_cuda:
            one = given.numel() == 1 or not any(given.stride())
            same = one and given.data_ptr() == expected.data_ptr()
        else:
            same = bool((given == expected.to(given)).all())
        return given if same else None

    def _is_offloaded(self, args: Args, kwargs: Kwargs) -> bool:
        """Whether weights come to the device with their block's forward only."""
        device = self._description.latents(args, kwargs).device
        return any(is_offloaded(block.block, device) for block in self._blocks)

    def _piece(self) -> int:
        """Steps that fit into the plan's memory, by what the last ones took."""
        return max(1, MAX_BYTES // max(1, self._step_bytes))

    def _make(
        self,
        step: int,
        count: int,
        at: Tensor,
        conditions: tuple[Tensor, ...],
        dtype: torch.dtype,
    ) -> None:
        assert self._timesteps is not None
        self._steps = range(step, min(step + count, len(self._timesteps)))
        timesteps = self._timesteps[self._steps.start : self._steps.stop]
        timesteps = self._description.given_timestep(timesteps, at.dtype).to(at.device)
        self._conditions = tuple(t.clone() if t.device.type == "cpu" else t for t in conditions)
        embedded = self._description.embed(timesteps, conditions, dtype)
        blocks = []
        for block in self._blocks:
            assert block.description.plan is not None
            planned = block.description.plan(embedded)
            blocks.append([_by_step(each, len(self._steps)) for each in planned])
        self._planned = [
            [[steps[row] for steps in block] for block in blocks] for row in range(len(self._steps))
        ]
        step_tensors = [t for block in self._planned[0] for each in block for t in each]
        self._step_bytes = sum(t.numel() * t.element_size() for t in step_tensors if t is not None)

    def _give(self, row: int | None) -> None:
        for index, block in enumerate(self._blocks):
            block.planned = None if row is None else self._planned[row][index]


def _by_step(modulation: Modulation, count: int) -> list[Modulation]:
    """Of tensors [S, B, D], one modulation for each of S = ``count`` steps."""
    columns = [[None] * count if t is None else t.unbind(0) for t in modulation]
    return [Modulation(*row) for row in zip(*columns, strict=True)]


def _are_same(given: Sequence[Tensor], before: Sequence[Tensor]) -> bool:
    """By value where that can be seen; on a device, the same tensors."""
    if len(given) != len(before):
        return False
    return all(
        now is then if now.device.type != "cpu" else torch.equal(now, then)
        for now, then in zip(given, before, strict=True)
    )
