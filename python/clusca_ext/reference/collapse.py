"""Equations of ``clusca_ext.ops.collapse``."""

from collections.abc import Sequence

import torch
from torch import Tensor

from clusca_ext.reference._rows import add_gated, by_token, rows_at
from clusca_ext.reference.propagate import cluster_propagate
from clusca_ext.reference.taylor import float_forecast


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
    prediction = rows_at(float_forecast(factors, distance), representatives)
    each = prediction.new_ones(1, 1, 1) if gate is None else by_token(gate)
    each = rows_at(each, representatives) if each.shape[1] != 1 else each
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
    for m, (of_module, gate) in enumerate(zip(factors, gates, strict=True)):
        weights = distance if isinstance(distance, (float, int)) else distance[m]
        out = add_gated(out, gate, float_forecast(of_module, weights))
    if correction is None or representatives is None or cluster_ids is None or gamma is None:
        return out.to(x.dtype)
    zeros = torch.zeros_like(out)
    learnt = cluster_propagate(zeros, correction, representatives, cluster_ids, gamma)
    return (out + learnt).to(x.dtype)


def collapse_forecasts_(
    sums: Tensor,
    factors: Sequence[Tensor],
    gates: Sequence[Tensor | None],
    weights: Sequence[Tensor],
) -> Tensor:
    out = torch.zeros_like(sums)
    for of_module, gate, each in zip(factors, gates, weights, strict=True):
        forecasts = torch.stack([float_forecast(of_module, row) for row in each])
        out = out + (forecasts if gate is None else gate.float().unsqueeze(2) * forecasts)
    return out
