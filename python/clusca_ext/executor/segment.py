"""Adds what the blocks of a segment update to their stream at its end, in one pass.

On a cached step tokens meet only in the representatives. So the blocks hand the stream on as it is,
the few representatives go through them, and the last block does all tokens: module by module the
stream would be read and written twice a block, for features that are read once either way.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from clusca_ext import ops
from clusca_ext.adapters.description import Modulation
from clusca_ext.executor.modulation import differs_by_token
from clusca_ext.executor.module import Correction, ModuleExecutor


class Segment:
    """Blocks, each of which hands its stream on to the next.

    Args:
        modules: Those of all its blocks, in order.
        correction: What the corrector gives the modules; None: nothing.

    Attributes:
        collapses: Whether this step's updates wait for the end of the segment.
        by_token: Some gate was seen to differ by token: what clusters learn cannot be summed over
            modules, and updates do not wait.
    """

    def __init__(self, modules: Sequence[ModuleExecutor], correction: Correction | None) -> None:
        self.modules, self.correction = modules, correction
        last = max((i for i, module in enumerate(modules) if module.corrected), default=-1)
        for i, module in enumerate(modules):
            module.carried = i <= last
        self.collapses = self.by_token = False
        self._offset: Tensor | None = None  # [B, K, D] float32, as ops.carry_representatives_
        self._learnt: Tensor | None = None

    def begin(self, collapses: bool) -> None:
        """A step begins."""
        self.collapses = collapses and not self.by_token
        self._forget()

    def wait(
        self, x: Tensor, modules: Sequence[ModuleExecutor], modulations: Sequence[Modulation]
    ) -> None:
        """Leave the updates of one block to the end of the segment."""
        for module, modulation in zip(modules, modulations, strict=True):
            if module.carried and self._offset is None:
                shape = (*module.representatives.shape, x.shape[2])
                self._offset = x.new_zeros(shape, dtype=torch.float32)
                self._learnt = torch.zeros_like(self._offset)
            module.wait(x, modulation, self._offset, self._learnt)

    def settle(self, x: Tensor) -> Tensor:
        """The stream after all updates that have waited, in memory of its own. [B, N, D]"""
        waiting = [module for module in self.modules if module.waits]
        if not waiting:
            return x.clone(memory_format=torch.contiguous_format)
        factors = [module.factors for module in waiting]
        gates = [module.gate for module in waiting]
        weights = [module.feature.weights for module in waiting]
        if self._learnt is None:
            x = ops.collapsed_residual(x, factors, gates, weights)
        else:
            assert self.correction is not None
            clusters = waiting[0].representatives, self.correction.cluster_ids
            gamma = self.correction.gamma
            x = ops.collapsed_residual(x, factors, gates, weights, self._learnt, *clusters, gamma)
        self._forget()
        return x

    def _forget(self) -> None:
        self._offset = self._learnt = None
        for module in self.modules:
            module.waits, module.gate = False, None


def differ_by_token(modulations: Sequence[Modulation]) -> bool:
    return any(differs_by_token(modulation.gate) for modulation in modulations)
