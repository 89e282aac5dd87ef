"""The basis of gates that are a block's own vector plus one that all blocks share.

``g_m(t) = b_m + e_k(m)(t)``, where PixArt, Wan, LTX-Video and FLUX.2 have two or three kinds k of
modules: so that ``sum_m g_m F_m = sum_m b_m F_m + sum_k e_k(t) sum_(m of k) F_m`` at every t. A
full step sums the part of the blocks' own, and one more for each kind. Modules without a gate are
of the first.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs
from clusca_ext.executor import BlockExecutor, Segment
from clusca_ext.executor.modulation import per_token
from clusca_ext.storage.constants import DeviceConstants
from clusca_ext.storage.lean.bases import by_slot
from clusca_ext.storage.lean.course import Past
from clusca_ext.storage.lean.feature import LeanFeature, spread
from clusca_ext.storage.lean.sums import Sums


def shares_gates(blocks: Sequence[BlockExecutor]) -> bool:
    """Whether all blocks' gates are of this form."""
    return all(block.description.shared is not None for block in blocks)


class SharedParts:
    """What one segment sums, and how a cached step reads it.

    Attributes:
        kinds: Names of the shared vectors its modules have.
        has_own: Whether any module has a vector of its own, or no gate.
        count: Sums of a full step.
    """

    def __init__(self, blocks: Sequence[BlockExecutor]) -> None:
        self._blocks = blocks
        kinds, self.has_own = [], False
        for block in blocks:
            shared = block.description.shared
            assert shared is not None
            for kind, own in zip(shared.of, shared.own(), strict=True):
                self.has_own |= own is not None or kind is None
                if kind is not None and kind not in kinds:
                    kinds.append(kind)
        self.kinds = tuple(kinds)
        self.count = self.has_own + len(kinds)

    def look(self, block: BlockExecutor, features: Sequence[LeanFeature], sums: Sums) -> None:
        """A block is about to run: aim its modules' outputs at their sums."""
        shared = block.description.shared
        assert shared is not None
        B = sums.shape[0]
        for feature, kind, own in zip(features, shared.of, shared.own(), strict=True):
            place = None if kind is None else self.has_own + self.kinds.index(kind)
            ones = sums.accumulators.new_ones(1, 1, sums.shape[2])
            if own is None:  # one sum: that of its kind or, without a gate, the first
                first = place or 0
                feature.accumulators = [sums.accumulators[first : first + 1]]
                feature.phi = [spread(ones, B)]
                continue
            stop = 1 if place is None else place + 1
            feature.accumulators = [sums.accumulators[: stop : place or 1]]
            vector = own.to(ones.dtype).view(1, 1, -1)
            phi = vector if place is None else torch.cat([vector, ones])
            feature.phi = [spread(phi, B)]

    def gates(self, args: Args, kwargs: Kwargs, x: Tensor) -> list[Tensor | None]:
        """Of every sum at a cached step, from what the segment's last block is given."""
        shared = self._blocks[-1].description.shared
        assert shared is not None
        rows = shared.rows(args, kwargs)
        gates: list[Tensor | None] = [None] * self.has_own
        for kind in self.kinds:
            row = per_token(rows[kind])
            gates.append(row if row.dtype in (x.dtype, x.float().dtype) else row.to(x.dtype))
        return gates


class SharedEmb:
    """The basis, for a run.

    Attributes:
        parts: Of every segment, by index.
    """

    merges = False

    def __init__(
        self, past: Past, segments: Sequence[tuple[Segment, Sequence[BlockExecutor]]], why: str
    ) -> None:
        self._past = past
        self.parts = [SharedParts(blocks) for _, blocks in segments]
        self.added = max(part.count for part in self.parts)
        self.kept = self.added * (past.order + 1)
        self.words = "shared-emb: gates are vectors of the blocks' own plus shared ones"
        self.words += f"; {why}" if why else ""

    def phi(self, index: int) -> Tensor | None:
        return None

    def fresh(self, index: int) -> None:
        return None

    def weights(self, step: int, on: DeviceConstants) -> Tensor:
        """Of the full steps' slots. float32 [O + 1]"""
        return on.of(by_slot(self._past, step))
