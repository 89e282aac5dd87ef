"""Many modules' residual updates in one pass: representatives first, then every token.

What they forecast for several steps is summed in one pass, too.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from clusca_ext.ops._dispatch import both_or_neither, call, fake


def carry_representatives_(
    offset: Tensor,
    correction: Tensor,
    factors: Tensor,
    representatives: Tensor,
    gate: Tensor | None,
    computed: Tensor | None,
    distance: float | Tensor,
) -> None:
    """Add a module's residual update to the representatives alone, in place.

    A module that is forecast adds ``gate * forecast`` to ``offset``. One that was computed adds
    ``gate * computed``, and ``gate * (computed - forecast)`` to ``correction``: what its clusters
    learn by the delta rule. ``collapsed_residual`` then does all other tokens.

    Args:
        offset: What has been added to the representatives so far. [B, K, D] float32
        correction: What their clusters have learnt; written where ``computed`` is given.
            [B, K, D] float32
        factors: What its forecast is a weighted sum of, such as Taylor factors. [O+1, B, N, D]
        representatives: Token of each cluster; one outside [0, N) leaves its rows alone.
            [B, K] int32
        gate: Of any dtype; None: ones. [B, D], [B, 1, D] or, per token, [B, N, D]
        computed: Feature of every representative, before its gate; None: forecast. [B, K, D]
        distance: Steps since the last full step; or the forecast weights, float32 [O+1] or
            [B, O+1].

    Raises:
        ValueError: A shape, dtype, device, stride or value does not fit.
    """
    ops = torch.ops.clusca.carry_representatives_
    op = ops.tensor if isinstance(distance, Tensor) else ops.default
    call(op, offset, correction, factors, representatives, gate, computed, distance)


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
    """The stream after many modules' residual updates, in one pass over it.

    ``x + sum_m gate_m * forecast_m + cluster_propagate(0, correction, ...)``: on a cached step
    tokens meet only in their representatives, and by the delta rule (ours) what a cluster learns
    from M modules is the sum of what it learns from each. Module by module, ``x`` would be read and
    written M times.

    Args:
        x: The stream before the first of the M modules. [B, N, D]
        factors: Taylor factors of every module, all of one dtype and of the same strides; of the
            dtype of ``x`` or float32, beside float32 of any. M of [O+1, B, N, D]
        gates: float32 or the dtype of ``x``; None: ones.
            M of [B, D], [B, 1, D] or, per token, [B, N, D]
        distance: Steps since the last full step; or the forecast weights of every module, M of
            float32 [O+1] or [B, O+1].
        correction: What every cluster has learnt, as ``carry_representatives_`` sums it; None:
            tokens are only forecast. A representative takes it whole, its cluster ``gamma`` of it.
            [B, K, D] float32
        representatives: As in ``cluster_propagate``, each a member of its cluster. [B, K] int32
        cluster_ids: As in ``cluster_propagate``. [B, N] int32
        gamma: Propagation ratio in [0, 1]; a 0-dim float32 tensor where ``distance`` is tensors.

    Returns:
        The stream after them, dtype of ``x``. [B, N, D]

    Raises:
        ValueError: A shape, dtype, device, stride or value does not fit; lists differ in length;
            some but not all of the last four are given.
    """
    ops = torch.ops.clusca.collapsed_residual
    first = distance if isinstance(distance, (float, int)) else next(iter(distance), None)
    if gamma is not None and first is not None:  # of no modules the operator says so
        both_or_neither(gamma=gamma, distance=first)
    op = ops.default if isinstance(distance, (float, int)) else ops.tensor
    clusters = correction, representatives, cluster_ids, gamma
    result: Tensor = call(op, x, list(factors), list(gates), distance, *clusters)
    return result


def collapse_forecasts_(
    sums: Tensor,
    factors: Sequence[Tensor],
    gates: Sequence[Tensor | None],
    weights: Sequence[Tensor],
) -> None:
    """What many modules will add to their stream at S coming steps, in one pass, into ``sums``.

    ``sums[s] = sum_m gate_m[s] * sum_i weights_m[s, i] * factors_m[i]``. From one full step to the
    next factors stay as they are, and gates and weights are known where timesteps are: read once,
    the factors serve S cached steps. ``collapsed_residual`` then takes ``sums[s:s + 1]`` as the
    factors of one module, without a gate and of weight 1.

    Args:
        sums: Overwritten. [S, B, N, D] float32, S at most 8
        factors: As in ``collapsed_residual``, of any dtype. M of [O+1, B, N, D]
        gates: Those of every step, of any dtype; None: ones. M of [S, B, D] or [S, 1, D]
        weights: The forecast weights of every step. M of float32 [S, O+1]

    Raises:
        ValueError: A shape, dtype, device or stride does not fit; lists differ in length.
    """
    op = torch.ops.clusca.collapse_forecasts_.default
    call(op, sums, list(factors), list(gates), list(weights))


@fake("clusca::carry_representatives_", "clusca::carry_representatives_.tensor")
def _(*args: object, **kwargs: object) -> None:
    return None


@fake("clusca::collapse_forecasts_")
def _(*args: object, **kwargs: object) -> None:
    return None


@fake("clusca::collapsed_residual", "clusca::collapsed_residual.tensor")
def _(x: Tensor, *args: object, **kwargs: object) -> Tensor:
    return x.new_empty(x.shape)
