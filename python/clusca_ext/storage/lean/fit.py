"""A few components for the gates of several steps: their singular value decomposition by rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

AUTO_ERROR, AUTO_RANK = 0.02, 4  # what rank="auto" keeps gates' relative error below, if it can


def gram(gates: Tensor) -> Tensor:
    """Products of the gates of every two steps, summed over all modules and channels.

    Args:
        gates: [W, B, M, D]

    Returns:
        float64 [B, W, W]
    """
    W, B = gates.shape[:2]
    products = torch.zeros(B, W, W, dtype=torch.float64, device=gates.device)
    for module in gates.unbind(2):  # one at a time: in float64 all of them are much
        rows = module.transpose(0, 1).double()
        products += rows @ rows.mT
    return products


@dataclass(frozen=True)
class Fit:
    """All components of one window's gates, the best first.

    ``gates ~ V V^T gates``, V [W, C] the eigenvectors of the largest eigenvalues: no other C
    vectors leave a smaller squared error.

    Attributes:
        vectors: float64 [B, W, W]
        errors: What the first 1, 2, ... leave of the gates, relative. float64 [B, W]
    """

    vectors: Tensor
    errors: Tensor

    @classmethod
    def of(cls, products: Tensor) -> "Fit":
        """Of what ``gram`` returns, on the host."""
        values, vectors = torch.linalg.eigh(products)
        values, vectors = values.clamp(min=0).flip(-1), vectors.flip(-1)
        total = values.sum(-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
        return cls(vectors, (1 - values.cumsum(-1) / total).clamp(min=0).sqrt())

    @property
    def needed(self) -> Tensor:
        """Components that every row needs, for ``rank="auto"``. [B]"""
        most = min(AUTO_RANK, self.errors.shape[1])
        enough = self.errors[:, :most] <= AUTO_ERROR
        return torch.where(enough.any(-1), enough.int().argmax(-1) + 1, most)

    def first(self, ranks: Tensor) -> tuple[Tensor, Tensor]:
        """So many components for each row.

        Args:
            ranks: [B]

        Returns:
            V, zero where a row has fewer [B, W, C], and the relative error of its gates [B].
        """
        B, W = self.errors.shape
        most = int(ranks.max())
        kept = self.vectors.new_zeros(B, W, most)
        kept[..., : min(most, W)] = self.vectors[..., :most]
        kept *= torch.arange(most, device="cpu") < ranks[:, None, None]
        last = ranks.clamp(max=W)[:, None] - 1
        return kept, self.errors.gather(1, last).squeeze(1)


def ranks_of(rank: int | str, fits: Sequence[Fit]) -> Tensor:
    """Components for each row, the same for all windows: forecasts take differences between the
    sums of two windows, and what these leave out must not differ. [B]"""
    if rank != "auto":
        return torch.full((len(fits[0].errors),), int(rank), device="cpu")
    return torch.stack([fit.needed for fit in fits]).amax(0)
