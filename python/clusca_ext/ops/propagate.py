"""Propagation: what the representatives computed, spread over their clusters."""

import torch
from torch import Tensor

from clusca_ext.ops._dispatch import both_or_neither, call, fake


def cluster_propagate(
    forecast: Tensor,
    computed: Tensor,
    representatives: Tensor,
    cluster_ids: Tensor,
    gamma: float | Tensor,
    rule: str = "value",
) -> Tensor:
    """Spread the representatives' computed features over their clusters.

    Representatives take their computed feature exactly. Every other token of cluster ``c`` becomes
    ``gamma * computed[c] + (1 - gamma) * forecast`` by the value rule (ClusCa, arXiv 2509.10312) or
    ``forecast + gamma * (computed[c] - forecast[representatives[c]])`` by the delta rule (ours). A
    token of a cluster without a representative keeps its forecast.

    Args:
        forecast: Prediction for every token. [B, N, D]
        computed: Feature of every representative; of the dtype of ``forecast``, or lower than
            float32. [B, K, D]
        representatives: Token of each cluster; one outside [0, N) makes its cluster empty.
            [B, K] int32
        cluster_ids: Cluster of every token; one outside [0, K) leaves the token at its forecast.
            [B, N] int32
        gamma: Propagation ratio in [0, 1]: 0 changes representatives only, 1 copies (value) or adds
            the whole correction (delta). As a 0-dim float32 tensor it is read on the device and not
            checked.
        rule: ``"value"`` or ``"delta"``.

    Returns:
        Corrected features, dtype of ``forecast``. [B, N, D]

    Raises:
        ValueError: A shape, dtype, device, stride, ``gamma`` or ``rule`` does not fit.
    """
    ops = torch.ops.clusca.cluster_propagate
    op = ops.tensor if isinstance(gamma, Tensor) else ops.default
    result: Tensor = call(op, forecast, computed, representatives, cluster_ids, gamma, rule)
    return result


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
) -> None:
    """Forecast, propagate, gate and add to the stream in one pass, in place.

    ``x += gate * cluster_propagate(forecast, ...)`` with the forecast of ``taylor_forecast``, which
    is never written to memory.

    Args:
        x: The residual stream. [B, N, D]
        factors: Taylor factors; of the dtype of ``x``, or lower than float32. [O+1, B, N, D]
        computed: Feature of every representative, before its gate; dtype of ``x``, or lower than
            float32. [B, K, D]
        representatives: As in ``cluster_propagate``. [B, K] int32
        cluster_ids: As in ``cluster_propagate``. [B, N] int32
        gate: float32 or the dtype of ``x``; None: ones.
            [B, D], [B, 1, D] or, per token, [B, N, D]
        gamma: Propagation ratio in [0, 1].
        distance: Steps since the last full step. ``gamma`` and ``distance`` may both be tensors: a
            0-dim float32 and the forecast weights, float32 [O+1] or [B, O+1].
        rule: ``"value"`` or ``"delta"``.

    Raises:
        ValueError: A shape, dtype, device, stride or value does not fit.
    """
    ops = torch.ops.clusca.propagate_residual_
    op = ops.tensor if both_or_neither(gamma=gamma, distance=distance) else ops.default
    call(op, x, factors, computed, representatives, cluster_ids, gate, gamma, distance, rule)


def propagate_factors_(
    factors: Tensor,
    computed: Tensor,
    representatives: Tensor,
    cluster_ids: Tensor,
    gamma: float | Tensor,
) -> None:
    """Apply the value rule to the order-0 factor in place: the paper's persistent correction.

    The corrections of an interval's cached steps accumulate, and the next full step differs against
    the edited factor, as in ClusCa's released code (arXiv 2509.10312).

    Args:
        factors: Taylor factors; only order 0 is changed. [O+1, B, N, D]
        computed: Feature of every representative; of the dtype of ``factors``, or lower than
            float32. [B, K, D]
        representatives: As in ``cluster_propagate``. [B, K] int32
        cluster_ids: As in ``cluster_propagate``. [B, N] int32
        gamma: Propagation ratio in [0, 1], or a 0-dim float32 tensor.

    Raises:
        ValueError: A shape, dtype, device, stride or ``gamma`` does not fit.
    """
    ops = torch.ops.clusca.propagate_factors_
    op = ops.tensor if isinstance(gamma, Tensor) else ops.default
    call(op, factors, computed, representatives, cluster_ids, gamma)


@fake("clusca::cluster_propagate", "clusca::cluster_propagate.tensor")
def _(
    forecast: Tensor,
    computed: Tensor,
    representatives: Tensor,
    cluster_ids: Tensor,
    gamma: float | Tensor,
    rule: str = "value",
) -> Tensor:
    return forecast.new_empty(forecast.shape)


@fake("clusca::propagate_residual_", "clusca::propagate_residual_.tensor")
def _(*args: object, **kwargs: object) -> None:
    return None


@fake("clusca::propagate_factors_", "clusca::propagate_factors_.tensor")
def _(*args: object, **kwargs: object) -> None:
    return None
