"""Equations of ``clusca_ext.ops.kmeans``."""

import math

import torch
from torch import Tensor

from clusca_ext.reference._rows import members_of


def kmeans_assign(tokens: Tensor, centroids: Tensor, metric: str = "l2") -> tuple[Tensor, Tensor]:
    difference = tokens.float().unsqueeze(2) - centroids.unsqueeze(1)  # [B, N, K, D]
    distances = difference.square().sum(-1) if metric == "l2" else difference.abs().sum(-1)
    distances = distances.nan_to_num(math.inf, math.inf)
    nearest, cluster_ids = distances.min(dim=-1)  # the first of equal ones
    return torch.where(nearest.isfinite(), cluster_ids, 0).int(), nearest


def kmeans_step(
    tokens: Tensor, centroids: Tensor, metric: str = "l2"
) -> tuple[Tensor, Tensor, Tensor]:
    cluster_ids, distances = kmeans_assign(tokens, centroids, metric)
    finite = distances.isfinite().unsqueeze(-1)
    members = (members_of(cluster_ids, centroids.shape[1]) & finite).float()
    sums = members.mT @ tokens.float().where(finite, 0)
    return cluster_ids, sums, members.sum(dim=1).int()


def kmeans_fit(
    tokens: Tensor,
    centroids: Tensor,
    metric: str = "l2",
    max_iters: int = 10,
    rtol: float = 1e-4,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    centroids = centroids.clone()
    moving = torch.ones(len(tokens), dtype=torch.bool, device=tokens.device)
    iterations = torch.zeros(len(tokens), dtype=torch.int32, device=tokens.device)
    for _ in range(max_iters):
        _, sums, counts = kmeans_step(tokens, centroids, metric)
        means = sums / counts.clamp(min=1).unsqueeze(-1)
        moved = torch.where(counts.unsqueeze(-1) > 0, means, centroids)
        iterations += moving
        finite = moved.isfinite()  # a centroid that is not has no say
        change = (moved - centroids).abs().where(finite, 0).amax(dim=(1, 2))
        largest = moved.abs().where(finite, 0).amax(dim=(1, 2))
        centroids = torch.where(moving[:, None, None], moved, centroids)
        moving = moving & (change > rtol * largest)
    cluster_ids, distances = kmeans_assign(tokens, centroids, metric)
    counts = (members_of(cluster_ids, centroids.shape[1]) & distances.isfinite().unsqueeze(-1)).sum(
        1
    )
    return cluster_ids, distances, centroids, counts.int(), iterations
