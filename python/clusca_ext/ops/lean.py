"""Lean storage: a few sums over all layers instead of every layer's factors, and their way back.

Full steps sum as they run; a cached step reads what they have left, whatever the number of layers.
"""

import torch
from torch import Tensor

from clusca_ext.ops._dispatch import call, fake


def lean_accumulate_(accumulators: Tensor, feature: Tensor, phi: Tensor) -> None:
    """Add a module's feature into C sums over all modules, in place, in one pass over it.

    ``accumulators[c] += phi[c] * feature``: where every gate is ``sum_c a_c(s) * phi[c]``, what M
    modules add to their stream at a step s is ``sum_c a_c(s) * accumulators[c]``, of C sums instead
    of M features. Representatives apart, a cached step of ClusCa (arXiv 2509.10312) needs no more.

    Args:
        accumulators: Added to; no two elements may share memory. [C, B, N, D] float32
        feature: What the module has computed, of any dtype. [B, N, D]
        phi: Coordinates of its gate. [C, B, D] float32

    Raises:
        ValueError: A shape, dtype, device or stride does not fit.
    """
    call(torch.ops.clusca.lean_accumulate_.default, accumulators, feature, phi)


def lean_output(
    x: Tensor,
    sums: Tensor,
    weights: Tensor,
    correction: Tensor | None = None,
    representatives: Tensor | None = None,
    cluster_ids: Tensor | None = None,
    gamma: float | Tensor | None = None,
    shift: Tensor | None = None,
    scale: Tensor | None = None,
    eps: float = 1e-6,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    norm: str = "none",
) -> Tensor:
    """The stream after all layers of a lean cached step, and the norm that follows, in one pass.

    ``y = x + sum_j weights[j] * sums[j] + cluster_propagate(0, correction, ...)``, then
    ``(norm(y) * weight + bias) * (1 + scale) + shift``; by default just ``y``.

    A sum whose weight of a batch row is 0 is not read for that row, whatever it holds, unless
    weights are by channel: of J sums, weights of a single 1 take one at the price of one.

    Args:
        x: The stream before the first layer. [B, N, D]
        sums: What ``lean_accumulate_`` has left, or sums of it; of the dtype of ``x`` or float32,
            beside float32 of any. [J, B, N, D]
        weights: What each is multiplied by. [J, B] or, by channel, [J, B, D], float32
        correction: As in ``collapsed_residual``; None: tokens are only forecast.
            [B, K, D] float32
        representatives: As in ``collapsed_residual``. [B, K] int32
        cluster_ids: As in ``collapsed_residual``. [B, N] int32
        gamma: Propagation ratio in [0, 1], or a 0-dim float32 tensor.
        shift: As in ``gather_representatives``. [B, D], [B, 1, D] or, per token, [B, N, D]
        scale: As ``shift``, multiplied in as ``1 + scale``.
        eps: Added to the variance (or mean square).
        weight: The norm's own weight. [D]
        bias: The norm's own bias. [D]
        norm: ``"layer"``, ``"rms"`` or ``"none"``.

    Returns:
        The stream, or what modulates it, rounded once to the dtype of ``x``. [B, N, D]

    Raises:
        ValueError: A shape, dtype, device, stride, value or the norm does not fit; some but not all
            of ``correction`` to ``gamma`` are given; D is above 24576 and the result is normed or
            modulated.
    """
    ops = torch.ops.clusca.lean_output
    op = ops.tensor if isinstance(gamma, Tensor) else ops.default
    clusters = correction, representatives, cluster_ids, gamma
    args = x, sums, weights, *clusters, shift, scale, eps, weight, bias, norm
    result: Tensor = call(op, *args)
    return result


@fake("clusca::lean_accumulate_")
def _(*args: object, **kwargs: object) -> None:
    return None


@fake("clusca::lean_output", "clusca::lean_output.tensor")
def _(x: Tensor, *args: object, **kwargs: object) -> Tensor:
    return x.new_empty(x.shape)
