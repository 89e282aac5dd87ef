"""Every operator's equation in plain PyTorch, float32 inside: differentiable, the tests' oracle.

Arguments and results are those of ``clusca_ext.ops``; mutating operators return the new value
instead. Indices out of range behave as there. Sources: ClusCa (arXiv 2509.10312) for clusters and
propagation, TaylorSeer (arXiv 2503.06923) for factors.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from clusca_ext.random_keys import random_keys


def kmeans_assign(tokens: Tensor, centroids: Tensor, metric: str = "l2") -> tuple[Tensor, Tensor]:
    difference = tokens.float().unsqueeze(2) - centroids.unsqueeze(1)  # [B, N, K, D]
    distances = difference.square().sum(-1) if metric == "l2" else difference.abs().sum(-1)
    distances = distances.nan_to_num(math.inf, math.inf)
    nearest, cluster_ids = distances.min(dim=-1)  # the first of equal ones
    return torch.where(nearest.isfinite(), cluster_ids, 0).int(), nearest


def _members(cluster_ids: Tensor, num_clusters: int) -> Tensor:  # [B, N, K] bool
    return cluster_ids.unsqueeze(-1) == torch.arange(num_clusters, device=cluster_ids.device)


def kmeans_step(
    tokens: Tensor, centroids: Tensor, metric: str = "l2"
) -> tuple[Tensor, Tensor, Tensor]:
    cluster_ids, distances = kmeans_assign(tokens, centroids, metric)
    finite = distances.isfinite().unsqueeze(-1)
    members = (_members(cluster_ids, centroids.shape[1]) & finite).float()
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
    counts = (_members(cluster_ids, centroids.shape[1]) & distances.isfinite().unsqueeze(-1)).sum(1)
    return cluster_ids, distances, centroids, counts.int(), iterations


def select_representatives(
    cluster_ids: Tensor, num_clusters: int, seed: Tensor, layer: int = 0
) -> Tensor:
    keys = random_keys(seed, layer, cluster_ids.shape[1])
    ranks = torch.where(_members(cluster_ids, num_clusters), keys.unsqueeze(-1), -1)  # [B, N, K]
    return _first_of_best(ranks, ranks >= 0)


def select_nearest(cluster_ids: Tensor, distances: Tensor, num_clusters: int) -> Tensor:
    members = _members(cluster_ids, num_clusters) & distances.isfinite().unsqueeze(-1)
    ranks = torch.where(members, -distances.unsqueeze(-1), -math.inf)
    return _first_of_best(ranks, members)


def _first_of_best(ranks: Tensor, members: Tensor) -> Tensor:
    if ranks.shape[1] == 0:
        return ranks.new_full((ranks.shape[0], ranks.shape[2]), -1, dtype=torch.int32)
    best = ranks.max(dim=1)  # the first of equal ones
    return torch.where(members.any(dim=1), best.indices, -1).int()


def _per_token(modulation: Tensor) -> Tensor:  # [B, D], [B, 1, D] or [B, N, D] to three dimensions
    return (modulation.unsqueeze(1) if modulation.dim() == 2 else modulation).float()


def _rows(tokens: Tensor, index: Tensor) -> Tensor:
    """tokens[b, index[b, k]], zeros where the index is out of range. [B, K, D]"""
    if tokens.shape[1] == 0:
        return tokens.new_zeros(*index.shape, tokens.shape[2])
    inside = (index >= 0) & (index < tokens.shape[1])
    safe = index.clamp(0, tokens.shape[1] - 1).long()
    rows = tokens.gather(1, safe.unsqueeze(-1).expand(-1, -1, tokens.shape[2]))
    return rows.where(inside.unsqueeze(-1), 0)


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
    y = _rows(tokens, representatives).float()
    if offset is not None:
        y = y + offset.where(inside.unsqueeze(-1), 0)
    rows = y.to(tokens.dtype)
    if norm == "layer":
        y = y - y.mean(-1, keepdim=True)
        y = y / (y.square().mean(-1, keepdim=True) + eps).sqrt()
    elif norm == "rms":
        y = y / (y.square().mean(-1, keepdim=True) + eps).sqrt()
    y = y if weight is None else y * weight.float()
    y = y if bias is None else y + bias.float()

    def at_representatives(modulation: Tensor | None) -> Tensor | float:
        if modulation is None:
            return 0.0
        per_token = _per_token(modulation)
        return _rows(per_token, representatives) if per_token.shape[1] > 1 else per_token

    y = y * (1 + at_representatives(scale)) + at_representatives(shift)
    return rows, y.where(inside.unsqueeze(-1), 0).to(tokens.dtype)


def cluster_propagate(
    forecast: Tensor,
    computed: Tensor,
    representatives: Tensor,
    cluster_ids: Tensor,
    gamma: float | Tensor,
    rule: str = "value",
) -> Tensor:
    B, N, D = forecast.shape
    K = computed.shape[1]
    in_range = (cluster_ids >= 0) & (cluster_ids < K)
    cluster = cluster_ids.clamp(0, K - 1).long()  # [B, N]
    token = representatives.gather(1, cluster)  # the representative of each token's cluster
    corrected = in_range & (token >= 0) & (token < N)
    prediction, own = forecast.float(), _rows(computed.float(), cluster)
    if rule == "value":
        moved = (1 - gamma) * prediction + gamma * own
    else:
        moved = prediction + gamma * (own - _rows(prediction, token))
    is_representative = corrected & (token == torch.arange(N, device=forecast.device))
    out = torch.where(corrected.unsqueeze(-1), moved, prediction)
    return torch.where(is_representative.unsqueeze(-1), own, out).to(forecast.dtype)


def taylor_update_(
    factors: Tensor, feature: Tensor, spacing: float | Tensor, history: int | None = None
) -> Tensor:
    order = len(factors) - 1
    if isinstance(spacing, Tensor):
        rates = spacing.tolist()
    else:
        known = order if history is None else min(history, order)
        rates = [1 / spacing] * known + [0.0] * (order - known)
    updated = [feature.float()]
    for old, rate in zip(factors.float(), rates, strict=False):  # the last order has no next
        following = (updated[-1] - old) * rate if rate else torch.zeros_like(updated[-1])
        updated.append(following)
    return torch.stack(updated).to(factors.dtype)


def taylor_weights(distance: float, orders: int) -> list[float]:
    return [distance**i / math.factorial(i) for i in range(orders)]


def taylor_forecast(factors: Tensor, distance: float | Tensor) -> Tensor:
    return _forecast(factors, distance).to(factors.dtype)


def _forecast(factors: Tensor, distance: float | Tensor) -> Tensor:  # float32 [B, N, D]
    if not isinstance(distance, Tensor):
        distance = torch.tensor(taylor_weights(distance, len(factors)), device=factors.device)
    per_row = distance.float().reshape(-1, len(factors)).mT.unsqueeze(-1).unsqueeze(-1)
    return (per_row * factors.float()).sum(dim=0)


def forecast_residual_(
    x: Tensor, factors: Tensor, gate: Tensor | None, distance: float | Tensor
) -> Tensor:
    return _add_gated(x, gate, _forecast(factors, distance))


def propagate_residual_(
    x: Tensor,
    factors: Tensor,
    computed: Tensor,
    representatives: Tensor,
    cluster_ids: Tensor,
    gate: Tensor | None,
    gamma: float | Tensor,
    distance: float | Tensor,
    rule: str = "value",
) -> Tensor:
    prediction = _forecast(factors, distance)
    out = cluster_propagate(prediction, computed, representatives, cluster_ids, gamma, rule)
    return _add_gated(x, gate, out)


def _add_gated(x: Tensor, gate: Tensor | None, update: Tensor) -> Tensor:
    scaled = update if gate is None else _per_token(gate) * update
    return (x.float() + scaled).to(x.dtype)


def propagate_factors_(
    factors: Tensor,
    computed: Tensor,
    representatives: Tensor,
    cluster_ids: Tensor,
    gamma: float | Tensor,
) -> Tensor:
    edited = cluster_propagate(factors[0], computed, representatives, cluster_ids, gamma)
    return torch.cat([edited.unsqueeze(0), factors[1:]])


def carry_representatives_(
    offset: Tensor,
    correction: Tensor,
    factors: Tensor,
    representatives: Tensor,
    gate: Tensor | None,
    computed: Tensor | None,
    distance: float | Tensor,
) -> tuple[Tensor, Tensor]:
    N = factors.shape[2]
    inside = ((representatives >= 0) & (representatives < N)).unsqueeze(-1)
    prediction = _rows(_forecast(factors, distance), representatives)
    each = prediction.new_ones(1, 1, 1) if gate is None else _per_token(gate)
    each = _rows(each, representatives) if each.shape[1] > 1 else each
    update = prediction if computed is None else computed.float()
    offset = offset + (each * update).where(inside, 0)
    return offset, correction + (each * (update - prediction)).where(inside, 0)


def collapsed_residual(
    x: Tensor,
    factors: Sequence[Tensor],
    gates: Sequence[Tensor | None],
    distance: float | Sequence[Tensor],
    correction: Tensor | None = None,
    representatives: Tensor | None = None,
    cluster_ids: Tensor | None = None,
    gamma: float | Tensor | None = None,
) -> Tensor:
    out = x.float()
    distances = [distance] * len(factors) if isinstance(distance, float) else distance
    for of_module, gate, each in zip(factors, gates, distances, strict=True):
        out = _add_gated(out, gate, _forecast(of_module, each))
    if correction is not None:
        clusters = representatives, cluster_ids, gamma
        out = out + cluster_propagate(torch.zeros_like(out), correction, *clusters)
    return out.to(x.dtype)
