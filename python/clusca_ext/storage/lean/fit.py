"""A few components for the gates of several steps: their singular value decomposition by rows."""

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


def components(products: Tensor, rank: int | str) -> tuple[Tensor, Tensor]:
    """The components that gates are best summed of.

    ``gates ~ V V^T gates``, V [W, C] the eigenvectors of the largest eigenvalues: no other C
    vectors leave a smaller squared error.

    Args:
        products: Of ``gram``, on the host. float64 [B, W, W]
        rank: How many, C; or ``"auto"``: for every row as many as it takes.

    Returns:
        V, zero where a row needs fewer components or there are fewer steps [B, W, C], and the
        relative error of the gates [B], both float64.
    """
    values, vectors = torch.linalg.eigh(products)
    values, vectors = values.clamp(min=0).flip(-1), vectors.flip(-1)
    total = values.sum(-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    errors = (1 - values.cumsum(-1) / total).clamp(min=0).sqrt()  # with 1, 2, ... components
    B, W = values.shape
    most = AUTO_RANK if rank == "auto" else int(rank)
    needed = torch.full((B,), min(most, W))
    if rank == "auto":
        enough = errors[:, : min(most, W)] <= AUTO_ERROR
        needed = torch.where(enough.any(-1), enough.int().argmax(-1) + 1, needed)
    kept = vectors.new_zeros(B, W, most)
    kept[..., : min(most, W)] = vectors[..., :most]
    kept *= torch.arange(most) < needed[:, None, None]
    return kept, errors.gather(1, needed[:, None] - 1).squeeze(1)
