"""Equations of ``clusca_ext.ops.representatives``."""

import math

import torch
from torch import Tensor

from clusca_ext.random_keys import random_keys
from clusca_ext.reference._rows import by_token, members_of, normed, rows_at


def select_representatives(
    cluster_ids: Tensor, num_clusters: int, seed: Tensor, layer: int = 0
) -> Tensor:
    keys = random_keys(seed, layer, cluster_ids.shape[1])
    ranks = torch.where(members_of(cluster_ids, num_clusters), keys.unsqueeze(-1), -1)  # [B, N, K]
    return _first_of_best(ranks, ranks >= 0)


def select_nearest(cluster_ids: Tensor, distances: Tensor, num_clusters: int) -> Tensor:
    members = members_of(cluster_ids, num_clusters) & distances.isfinite().unsqueeze(-1)
    ranks = torch.where(members, -distances.unsqueeze(-1), -math.inf)
    return _first_of_best(ranks, members)


def _first_of_best(ranks: Tensor, members: Tensor) -> Tensor:
    if ranks.shape[1] == 0:
        return ranks.new_full((ranks.shape[0], ranks.shape[2]), -1, dtype=torch.int32)
    best = ranks.max(dim=1)  # the first of equal ones
    return torch.where(members.any(dim=1), best.indices, -1).int()


def gather_representatives(
    tokens: Tensor,
    representatives: Tensor,
    shift: Tensor | None = None,
    scale: Tensor | None = None,
    eps: float = 1e-6,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    norm: str = "layer",
    offset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    inside = (representatives >= 0) & (representatives < tokens.shape[1])
    y = rows_at(tokens, representatives).float()
    if offset is not None:
        y = y + offset.where(inside.unsqueeze(-1), 0)
    rows = y.to(tokens.dtype)
    y = normed(y, norm, eps, weight, bias)

    def at_representatives(modulation: Tensor | None) -> Tensor | float:
        if modulation is None:
            return 0.0
        per_token = by_token(modulation)
        return rows_at(per_token, representatives) if per_token.shape[1] != 1 else per_token

    y = y * (1 + at_representatives(scale)) + at_representatives(shift)
    return rows, y.where(inside.unsqueeze(-1), 0).to(tokens.dtype)
