"""What a module hands to lean storage, and what it finds there on cached steps."""

import torch
from torch import Tensor

from clusca_ext import ops


class LeanFeature:
    """One module's part in the sums of its segment, and its rows of representatives.

    As in ``Feature``, compiled code touches tensors only.

    Attributes:
        groups: Which tokens have gates, and so sums, of their own.
        accumulators: Those that its output is added to, for each group. float32 [C, B, N, D]
        phi: Weighted by these; empty between full steps. float32 [C, B, D]
        gate: Of every token, where it is multiplied in before; else None. [B, N, D]
        chosen: The representatives of all coming steps, where they are kept of it; else None.
            [B, W K] int32
        share: What is taken of each. float32 [W K, 1]
        target: Rows that take it. [B, W K, D]
        factors: All its rows. [L, B, W K, D]
        weights: What this step takes of each of L. float32 [L]
        tokens: Tokens N; 0 before they are known.
    """

    accumulators: list[Tensor]
    weights: Tensor
    share: Tensor
    target: Tensor

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.tokens = 0
        self.groups: tuple[slice, ...] = (slice(None),)
        self.phi: list[Tensor] = []
        self.gate: Tensor | None = None
        self.chosen: Tensor | None = None
        self.factors: Tensor | None = None
        for view in ("accumulators", "target"):  # each would hold the memory of all
            vars(self).pop(view, None)

    def keep(self, output: Tensor) -> None:
        """Add what the module returns. [B, N, D]"""
        if self.chosen is not None:
            rows, _ = ops.gather_representatives(output, self.chosen, norm="none")
            self.target.addcmul_(rows, self.share)
        if self.gate is not None:
            output = self.gate * output
        for tokens, sums, phi in zip(self.groups, self.accumulators, self.phi, strict=True):
            ops.lean_accumulate_(sums, output[:, tokens], phi)

    def __deepcopy__(self, memo: object) -> "LeanFeature":
        """A copy of a cached model is not cached: it needs no memory."""
        return LeanFeature()


def spread(rows: Tensor, B: int) -> Tensor:
    """Weights [C, 1 or B, D] for every batch row, as float32."""
    return rows.to(torch.float32).expand(-1, B, -1)
