"""Adds what the blocks of a segment update to their stream at its end, in one pass.

On a cached step tokens meet only in the representatives. So the blocks hand the stream on as it is,
the few representatives go through them, and the last block does all tokens: module by module the
stream would be read and written twice a block, for features that are read once either way.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clusca_ext import ops
from clusca_ext.adapters.description import Args, Kwargs, Modulation
from clusca_ext.executor.modulation import per_token
from clusca_ext.executor.module import Correction, ModuleExecutor
from clusca_ext.storage.host import HostTensor

Learnt = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]


@dataclass
class Track:
    """Sums of some tokens.

    Attributes:
        begin: The first of them.
        sums: Theirs [J, B, N, D]; where host has them, of a piece.
        weights: What this step takes of each; as a segment's.
        host: All of them, where they lie on the host.
    """

    begin: int
    sums: Tensor
    weights: Tensor
    host: HostTensor | None


class Segment:
    """Blocks, each of which hands its stream on to the next.

    Args:
        modules: Those of all its blocks, in order.
        first: How many modules the model has before them.
        correction: What the corrector gives the modules; None: nothing.

    Attributes:
        collapses: Whether this step's updates wait for the end of the segment. Where gates differ
            by token they cannot: what clusters learn is not summed over modules then.
        sums: What all modules forecast for coming steps, behind their gates, where that was summed
            beforehand; else None. [J, B, N, D]
        parts: The same where gates are only known at the step: sums of modules behind one gate
            each, of O + 1 full steps; else None. Each [O + 1, B, N, D]
        gates_of_parts: Finds these gates, from what the last block is given.
        tracks: The sums, where tokens have some of their own or these lie on the host; else None.
        weights: What this step takes of each sum; one of weight 0 is not read. float32 [J, B];
            of parts: of each full step's, float32 [O + 1]
    """

    weights: Tensor
    gates_of_parts: Callable[[Args, Kwargs, Tensor], list[Tensor | None]]

    def __init__(
        self, modules: Sequence[ModuleExecutor], first: int, correction: Correction | None
    ) -> None:
        self.modules, self.first, self.correction = modules, first, correction
        last = max((i for i, module in enumerate(modules) if module.corrected), default=-1)
        for i, module in enumerate(modules):
            module.carried = i <= last
        self.collapses = False
        self.sums: Tensor | None = None
        self.parts: Sequence[Tensor] | None = None
        self.tracks: Sequence[Track] | None = None
        self._offset: Tensor | None = None  # [B, K, D] float32, as ops.carry_representatives_
        self._learnt: Tensor | None = None
        # With streams of its own, which compiled code does not know. As a decorator this would
        # import torch's compiler with the package; of a bound method it would be a cycle.
        self._settle_from_host = torch.compiler.disable(Segment._settle_by_pieces)

    def begin(self, collapses: bool) -> None:
        """A step begins."""
        self.end()
        self.collapses = collapses

    def end(self) -> None:
        """A step ends: what it was given and has made is not held."""
        self.sums = self.parts = self.tracks = self._offset = self._learnt = None
        vars(self).pop("gates_of_parts", None)
        for module in self.modules:
            module.gate = None

    @property
    def is_summed(self) -> bool:
        """Whether what its modules forecast has been summed beforehand."""
        kept = self.sums, self.parts, self.tracks
        return any(each is not None for each in kept)

    def asks(self, modules: Sequence[ModuleExecutor]) -> bool:
        """Whether anything is done with the modulation of some modules."""
        return not self.is_summed or any(module.carries for module in modules)

    def wait(
        self, x: Tensor, modules: Sequence[ModuleExecutor], modulations: Sequence[Modulation]
    ) -> None:
        """Leave the updates of one block to the end of the segment."""
        for module, modulation in zip(modules, modulations, strict=True):
            if self.is_summed and not module.carries:
                continue
            if module.carries and self._offset is None:
                shape = (*module.representatives.shape, x.shape[2])
                self._offset = x.new_zeros(shape, dtype=torch.float32)
                self._learnt = torch.zeros_like(self._offset)
            module.wait(x, modulation, self._offset, self._learnt)

    def settle(self, x: Tensor, args: Args, kwargs: Kwargs) -> Tensor:
        """The stream after all updates that have waited, in memory of its own. [B, N, D]

        Args:
            x: The stream.
            args: Positional inputs of the last block.
            kwargs: Keyword inputs.
        """
        learnt = self._what_clusters_learnt()
        if self.tracks is not None and self.tracks[0].host is not None:
            settled: Tensor = self._settle_from_host(self, x, args, kwargs, learnt)
            return settled
        if self.tracks is not None:
            return self._settle_by_pieces(x, args, kwargs, learnt)
        if self.sums is not None:
            return ops.lean_output(x, self.sums, self.weights, *learnt)
        if self.parts is not None:
            gates = self.gates_of_parts(args, kwargs, x)
            return ops.collapsed_residual(
                x, self.parts, gates, [self.weights] * len(self.parts), *learnt
            )
        factors = [module.factors for module in self.modules]
        gates = [module.gate for module in self.modules]
        weights = [module.feature.weights for module in self.modules]
        return ops.collapsed_residual(x, factors, gates, weights, *learnt)

    def _settle_by_pieces(self, x: Tensor, args: Args, kwargs: Kwargs, learnt: Learnt) -> Tensor:
        """The same of sums that are of some tokens each, or come from the host by pieces.

        What clusters have learnt is added at last: a representative may lie in another piece.
        """
        gates = None if self.parts is None else self.gates_of_parts(args, kwargs, x)
        out = torch.empty_like(x)
        for begin, stop, sums, weights in self._pieces():
            piece = x[:, begin:stop]
            if gates is None:
                out[:, begin:stop] = ops.lean_output(piece, sums, weights)
                continue
            parts = list(sums.unflatten(0, (-1, len(gates))).unbind(1))
            own = [
                gate if gate is None or per_token(gate).shape[1] == 1 else gate[:, begin:stop]
                for gate in gates
            ]
            each = [weights] * len(parts)
            out[:, begin:stop] = ops.collapsed_residual(piece, parts, own, each)
        if self._learnt is None:
            return out
        nothing = self._learnt.new_zeros(1, len(x))  # of a sum that is not read
        return ops.lean_output(out, out.unsqueeze(0), nothing, *learnt)

    def _pieces(self) -> Iterator[tuple[int, int, Tensor, Tensor]]:
        """First token, last, sums [J, B, N, D] of the tokens between, weights."""
        for track in self.tracks or ():
            if track.host is None:
                yield track.begin, track.begin + track.sums.shape[2], track.sums, track.weights
                continue
            for begin, stop, sums in track.host.pieces():
                yield track.begin + begin, track.begin + stop, sums, track.weights

    def _what_clusters_learnt(self) -> Learnt:
        """Correction, representatives, cluster_ids and gamma, as operators take them."""
        if self._learnt is None:
            return None, None, None, None
        assert self.correction is not None
        of = self.correction
        return self._learnt, self.modules[0].representatives, of.cluster_ids, of.gamma
