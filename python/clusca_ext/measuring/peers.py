"""Propagation and forecasts in plain torch, as fast as it allows, in the tensors' own dtype.

Where an eager form and one that torch.compile fuses differ, there are both.
"""

import math

import torch
from torch import Tensor


def batch_index(rows: Tensor) -> Tensor:  # [B, 1]
    return torch.arange(rows.shape[0], device=rows.device).unsqueeze(1)


def spread(rows: Tensor, cluster_ids: Tensor) -> Tensor:
    """rows[b, cluster_ids[b, n]]. [B, K, D], [B, N] -> [B, N, D]"""
    if rows.is_cuda:
        return rows[batch_index(rows), cluster_ids]
    B, K, D = rows.shape  # a CPU selects whole rows several times faster than it indexes
    flat = (cluster_ids + batch_index(rows) * K).flatten()
    return rows.flatten(0, 1).index_select(0, flat).view(B, -1, D)


def propagated(
    forecast: Tensor,
    computed: Tensor,
    representatives: Tensor,
    cluster_ids: Tensor,
    gamma: float,
    rule: str,
) -> Tensor:
    batch = batch_index(computed)
    if rule == "value":
        out = spread(computed, cluster_ids).lerp_(forecast, 1 - gamma)
    else:
        correction = gamma * (computed - forecast[batch, representatives])
        out = spread(correction, cluster_ids).add_(forecast)
    out[batch, representatives] = computed
    return out


def propagated_fusible(
    forecast: Tensor,
    computed: Tensor,
    representatives: Tensor,
    cluster_ids: Tensor,
    gamma: float,
    rule: str,
) -> Tensor:
    """Without writes to indexed places, before which everything would have to be in memory."""
    batch = batch_index(computed)
    own = computed[batch, cluster_ids]
    if rule == "value":
        out = torch.lerp(forecast, own, gamma)
    else:
        correction = gamma * (computed - forecast[batch, representatives])
        out = forecast + correction[batch, cluster_ids]
    token = torch.arange(forecast.shape[1], device=forecast.device)
    is_representative = representatives.gather(1, cluster_ids.long()) == token
    return torch.where(is_representative.unsqueeze(-1), own, out)


def taylor_weights(distance: float, count: int) -> list[float]:
    return [distance**i / math.factorial(i) for i in range(count)]


def forecast(factors: Tensor, distance: float) -> Tensor:
    """One pass for two factors, and one more for every further factor."""
    weights = taylor_weights(distance, len(factors))
    out = torch.add(factors[0], factors[1], alpha=weights[1])
    for factor, weight in zip(factors[2:], weights[2:], strict=True):
        out.add_(factor, alpha=weight)
    return out
