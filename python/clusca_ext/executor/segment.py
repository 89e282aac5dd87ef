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
from clusca_ext.executor.module import Correction, ModuleExecutor


class Segment:
    """Blocks, each of which hands its stream on to the next.

    Args:
        modules: Those of all its blocks, in order.
        first: How many modules the model has before them.
        correction: What the corrector gives the modules; None: nothing.

    Attributes:
        collapses: Whether this step's updates wait for the end of the segment. Where gates differ
            by token they cannot: what clusters learn is not summed over modules then.
        sums: What all modules forecast for each step of an interval, behind their gates, where that
            was summed beforehand; else None. [S, B, N, D] float32
        weights: 1 for this step's, 0 for others. float32 [S]
    """

    weights: Tensor

    def __init__(
        self, modules: Sequence[ModuleExecutor], first: int, correction: Correction | None
    ) -> None:
        self.modules, self.first, self.correction = modules, first, correction
        last = max((i for i, module in enumerate(modules) if module.corrected), default=-1)
        for i, module in enumerate(modules):
            module.carried = i <= last
        self.collapses = False
        self.sums: Tensor | None = None
        self._offset: Tensor | None = None  # [B, K, D] float32, as ops.carry_representatives_
        self._learnt: Tensor | None = None

    def begin(self, collapses: bool) -> None:
        """A step begins."""
        self.end()
        self.collapses = collapses

    def end(self) -> None:
        """A step ends: what it was given and has made is not held."""
        self.sums = self._offset = self._learnt = None
        for module in self.modules:
            module.gate = None

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
        factors = [module.factors for module in self.modules]
        gates = [module.gate for module in self.modules]
        weights = [module.feature.weights for module in self.modules]
        if self.sums is not None:
            factors, gates, weights = [self.sums], [None], [self.weights]
        if self._learnt is None:
            return ops.collapsed_residual(x, factors, gates, weights)
        assert self.correction is not None
        clusters = self.modules[0].representatives, self.correction.cluster_ids
        gamma = self.correction.gamma
        return ops.collapsed_residual(x, factors, gates, weights, self._learnt, *clusters, gamma)
