"""Taylor factors: a full step's update, a cached step's forecast, and the forecast's residual."""

import torch
from torch import Tensor

from clusca_ext.ops._dispatch import call, fake


def taylor_update_(
    factors: Tensor, feature: Tensor, spacing: float | Tensor, history: int | None = None
) -> None:
    """Update the finite differences of a module with its output at a full step, in place.

    ``F0 = feature``; ``Fi = (F(i-1) now - F(i-1) before) / spacing`` for ``i <= history``; higher
    orders become zero. The factors of TaylorSeer (arXiv 2503.06923) and ClusCa (arXiv 2509.10312).

    Args:
        factors: Orders 0 to O; uninitialised memory is fine while ``history`` is 0. [O+1, B, N, D]
        feature: The module's output, before its gate. [B, N, D]
        spacing: Steps since the full step before, finite and not 0; not read while ``history`` or
            O is 0. Or, as a tensor, what each difference is multiplied by: ``1 / spacing`` for
            orders that history reaches, 0 for those above; ``history`` is then not read.
            float32 [O]
        history: Full steps before this one; None: at least O.

    Raises:
        ValueError: A shape, dtype, device, stride, ``spacing`` or ``history`` does not fit.
    """
    if isinstance(spacing, Tensor):
        call(torch.ops.clusca.taylor_update_.tensor, factors, feature, spacing)
    else:
        call(torch.ops.clusca.taylor_update_.default, factors, feature, spacing, history)


def taylor_forecast(factors: Tensor, distance: float | Tensor) -> Tensor:
    """Forecast a module's output: ``sum_i w_i * F_i`` with ``w_i = distance**i / i!``.

    Args:
        factors: Orders 0 to O of ``taylor_update_``. [O+1, B, N, D]
        distance: Steps since the last full step; or, as a tensor, the weights ``w`` themselves, for
            any forecaster. float32 [O+1] or [B, O+1]

    Returns:
        The forecast, dtype of ``factors``. [B, N, D]

    Raises:
        ValueError: A shape, dtype, device, stride or ``distance`` does not fit.
    """
    ops = torch.ops.clusca.taylor_forecast
    op = ops.tensor if isinstance(distance, Tensor) else ops.default
    result: Tensor = call(op, factors, distance)
    return result


def forecast_residual_(
    x: Tensor, factors: Tensor, gate: Tensor | None, distance: float | Tensor
) -> None:
    """Add a module's gated forecast to the stream, in place: ``x += gate * forecast``.

    Args:
        x: The residual stream. [B, N, D]
        factors: As in ``taylor_forecast``; of the dtype of ``x``, or lower than float32.
            [O+1, B, N, D]
        gate: float32 or the dtype of ``x``; None: ones.
            [B, D], [B, 1, D] or, per token, [B, N, D]
        distance: Steps since the last full step; or, as a tensor, the weights.
            float32 [O+1] or [B, O+1]

    Raises:
        ValueError: A shape, dtype, device, stride or ``distance`` does not fit.
    """
    ops = torch.ops.clusca.forecast_residual_
    op = ops.tensor if isinstance(distance, Tensor) else ops.default
    call(op, x, factors, gate, distance)


@fake("clusca::taylor_update_")
def _(factors: Tensor, feature: Tensor, spacing: float, history: int | None = None) -> None:
    return None


@fake("clusca::taylor_update_.tensor")
def _(factors: Tensor, feature: Tensor, rates: Tensor) -> None:
    return None


@fake("clusca::taylor_forecast", "clusca::taylor_forecast.tensor")
def _(factors: Tensor, distance: float | Tensor) -> Tensor:
    return factors.new_empty(factors.shape[1:])


@fake("clusca::forecast_residual_", "clusca::forecast_residual_.tensor")
def _(x: Tensor, factors: Tensor, gate: Tensor | None, distance: float | Tensor) -> None:
    return None
