"""Equations of ``clusca_ext.ops.propagate``."""

import torch
from torch import Tensor

from clusca_ext.reference._rows import add_gated, rows_at
from clusca_ext.reference.taylor import float_forecast


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
    prediction, own = forecast.float(), rows_at(computed.float(), cluster)
    if rule == "value":
        moved = (1 - gamma) * prediction + gamma * own
    else:
        moved = prediction + gamma * (own - rows_at(prediction, token))
    is_representative = corrected & (token == torch.arange(N, device=forecast.device))
    out = torch.where(corrected.unsqueeze(-1), moved, prediction)
    return torch.where(is_representative.unsqueeze(-1), own, out).to(forecast.dtype)


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
    prediction = float_forecast(factors, distance)
    out = cluster_propagate(prediction, computed, representatives, cluster_ids, gamma, rule)
    return add_gated(x, gate, out)


def propagate_factors_(
    factors: Tensor,
    computed: Tensor,
    representatives: Tensor,
    cluster_ids: Tensor,
    gamma: float | Tensor,
) -> Tensor:
    edited = cluster_propagate(factors[0], computed, representatives, cluster_ids, gamma)
    return torch.cat([edited.unsqueeze(0), factors[1:]])
