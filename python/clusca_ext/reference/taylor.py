"""Equations of ``clusca_ext.ops.taylor``."""

import math

import torch
from torch import Tensor

from clusca_ext.reference._rows import add_gated


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
    return float_forecast(factors, distance).to(factors.dtype)


def float_forecast(factors: Tensor, distance: float | Tensor) -> Tensor:  # float32 [B, N, D]
    if not isinstance(distance, Tensor):
        distance = torch.tensor(taylor_weights(distance, len(factors)), device=factors.device)
    per_row = distance.float().reshape(-1, len(factors)).mT.unsqueeze(-1).unsqueeze(-1)
    return (per_row * factors.float()).sum(dim=0)


def forecast_residual_(
    x: Tensor, factors: Tensor, gate: Tensor | None, distance: float | Tensor
) -> Tensor:
    return add_gated(x, gate, float_forecast(factors, distance))
