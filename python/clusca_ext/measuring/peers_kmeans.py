"""k-means in plain torch: a matrix product and its lowest entries, then sums by cluster."""

import torch
from torch import Tensor


def widened(tokens: Tensor) -> Tensor:
    """float32 on a CPU: its products of half types return rounded scores, which mislabel tokens."""
    return tokens.float() if tokens.device.type == "cpu" else tokens


def product(left: Tensor, right: Tensor) -> Tensor:
    """left @ right, accumulated and, where torch offers it, returned in float32."""
    if left.is_cuda and left.dtype != torch.float32:
        out: Tensor = torch.bmm(left, right, out_dtype=torch.float32)
        return out
    return torch.bmm(left, right)


def nearest(tokens: Tensor, centroids: Tensor, metric: str) -> tuple[Tensor, Tensor]:
    """Labels [B, N] and, for l1, distances; for l2 what is left of them without |token|^2 / 2."""
    if metric == "l1":
        return torch.cdist(tokens.float(), centroids, p=1).min(-1)[::-1]
    half_squares = centroids.square().sum(-1).mul_(0.5).unsqueeze(1)
    scores = half_squares - product(tokens, centroids.to(tokens.dtype).mT)
    return scores.min(-1)[::-1]


def nearest_fusible(tokens: Tensor, centroids: Tensor, metric: str) -> tuple[Tensor, Tensor]:
    """torch.compile fuses sums of differences; of cdist, which is a kernel already, it cannot."""
    if metric == "l2":
        return nearest(tokens, centroids, metric)
    distances: list[Tensor] = [
        (tokens.float() - c.unsqueeze(1)).abs().sum(-1) for c in centroids.unbind(1)
    ]
    return torch.stack(distances, dim=-1).min(-1)[::-1]


def l2_distances(tokens: Tensor, lowest: Tensor) -> Tensor:
    squares: Tensor = torch.linalg.vector_norm(tokens, dim=-1, dtype=torch.float32).square_()
    return squares.add_(lowest, alpha=2).clamp_min_(0)


def means(sums: Tensor, counts: Tensor, centroids: Tensor) -> Tensor:
    """Where Lloyd's iteration moves the centroids; those without tokens stay."""
    moved = sums / counts.clamp(min=1).unsqueeze(-1)
    return torch.where(counts.unsqueeze(-1) > 0, moved, centroids)


def cluster_sums(tokens: Tensor, cluster_ids: Tensor, K: int) -> tuple[Tensor, Tensor]:
    """sums [B, K, D] and counts [B, K]: on a GPU one more matrix product, on a CPU additions."""
    if tokens.is_cuda:
        return cluster_sums_by_product(tokens, cluster_ids, K)
    B, _, D = tokens.shape
    flat = (cluster_ids + torch.arange(0, B * K, K).unsqueeze(1)).flatten()
    sums = torch.zeros(B * K, D).index_add_(0, flat, tokens.float().flatten(0, 1))
    counts = torch.zeros(B * K, dtype=torch.int32)
    counts.scatter_add_(0, flat, torch.ones_like(flat, dtype=torch.int32))
    return sums.view(B, K, D), counts.view(B, K)


def cluster_sums_by_product(tokens: Tensor, cluster_ids: Tensor, K: int) -> tuple[Tensor, Tensor]:
    clusters = torch.arange(K, device=tokens.device).unsqueeze(1)
    members = cluster_ids.unsqueeze(1) == clusters  # [B, K, N]
    return product(members.to(tokens.dtype), tokens), members.sum(-1, dtype=torch.int32)
