"""What several equations share."""

import torch
from torch import Tensor


def members_of(cluster_ids: Tensor, num_clusters: int) -> Tensor:  # [B, N, K] bool
    return cluster_ids.unsqueeze(-1) == torch.arange(num_clusters, device=cluster_ids.device)


def by_token(modulation: Tensor) -> Tensor:  # [B, D], [B, 1, D] or [B, N, D] to three dimensions
    return (modulation.unsqueeze(1) if modulation.dim() == 2 else modulation).float()


def rows_at(tokens: Tensor, index: Tensor) -> Tensor:
    """tokens[b, index[b, k]], zeros where the index is out of range. [B, K, D]"""
    if tokens.shape[1] == 0:
        return tokens.new_zeros(*index.shape, tokens.shape[2])
    inside = (index >= 0) & (index < tokens.shape[1])
    safe = index.clamp(0, tokens.shape[1] - 1).long()
    rows = tokens.gather(1, safe.unsqueeze(-1).expand(-1, -1, tokens.shape[2]))
    return rows.where(inside.unsqueeze(-1), 0)


def add_gated(x: Tensor, gate: Tensor | None, update: Tensor) -> Tensor:
    scaled = update if gate is None else by_token(gate) * update
    return (x.float() + scaled).to(x.dtype)


def normed(y: Tensor, norm: str, eps: float, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Rows after a norm of their last dimension and its own affine map."""
    if norm == "layer":
        y = y - y.mean(-1, keepdim=True)
    if norm != "none":
        y = y / (y.square().mean(-1, keepdim=True) + eps).sqrt()
    y = y if weight is None else y * weight.float()
    return y if bias is None else y + bias.float()
