"""TIME: from a module's past outputs to a prediction. A forecaster is its weights.

The forecast at ``distance`` steps after a full step is ``sum_i w_i * F_i`` over the finite
differences ``F_0 .. F_O`` (``ops.taylor_update_``). Distances count steps.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from clusca_ext.checks import flag, integer, number

MAX_ORDER = 7  # the operators take eight factors


class Forecaster(Protocol):
    @property
    def order(self) -> int:
        """Highest order O of the differences: O + 1 outputs are kept."""

    def weights(self, distance: int, spacing: int | None) -> tuple[float, ...]:
        """The ``O + 1`` weights.

        Args:
            distance: Steps since the module was last computed, at least 1.
            spacing: Steps between its last two computations; None after the first. Differences
                that history does not reach are zero, whatever their weight.
        """


def _reuse(order: int) -> tuple[float, ...]:
    return (1.0, *([0.0] * order))


def _is_beyond(distance: int, spacing: int | None) -> bool:
    """Whether a forecast would reach further than the differences it is made of."""
    return spacing is None or distance > spacing


@dataclass(frozen=True, kw_only=True)
class ReuseForecaster:
    """Order 0: the module's last output, unchanged (FORA, arXiv 2407.01425)."""

    @property
    def order(self) -> int:
        return 0

    def weights(self, distance: int, spacing: int | None) -> tuple[float, ...]:
        return _reuse(0)


@dataclass(frozen=True, kw_only=True)
class TaylorForecaster:
    """``w_i = distance**i / i!`` (TaylorSeer, arXiv 2503.06923).

    Attributes:
        order: Highest order, 0 to 7.
        bounded: Do not extrapolate further than the spacing of the last two full steps: beyond it
            the last output is reused. It matters after a dense warm-up, whose differences would
            otherwise be carried over a whole interval.
    """

    order: int = 1
    bounded: bool = True

    def __post_init__(self) -> None:
        integer("order", self.order, 0, MAX_ORDER)
        flag("bounded", self.bounded)

    def weights(self, distance: int, spacing: int | None) -> tuple[float, ...]:
        if self.bounded and _is_beyond(distance, spacing):
            return _reuse(self.order)
        return tuple(distance**i / math.factorial(i) for i in range(self.order + 1))


@dataclass(frozen=True, kw_only=True)
class HermiteForecaster:
    """``w_i = sigma**i * H_i(sigma * distance) / i!``, H the physicists' Hermite polynomials.

    At order 2: ``(1, 2 sigma^2 d, 2 sigma^4 d^2 - sigma^2)`` (HiCache; FreqCa, arXiv 2510.08669).

    Attributes:
        order: Highest order, 0 to 7.
        sigma: Contraction in (0, 1]: the smaller, the more cautious the extrapolation.
        bounded: As in ``TaylorForecaster``.
    """

    order: int = 2
    sigma: float = 0.7
    bounded: bool = True

    def __post_init__(self) -> None:
        integer("order", self.order, 0, MAX_ORDER)
        flag("bounded", self.bounded)
        number("sigma", self.sigma)
        if not 0 < self.sigma <= 1:
            raise ValueError(f"sigma must be in (0, 1], got {self.sigma!r}")

    def weights(self, distance: int, spacing: int | None) -> tuple[float, ...]:
        if self.bounded and _is_beyond(distance, spacing):
            return _reuse(self.order)
        x = self.sigma * distance
        hermite = [1.0, 2 * x]
        for i in range(1, self.order):
            hermite.append(2 * x * hermite[i] - 2 * i * hermite[i - 1])
        return tuple(self.sigma**i * hermite[i] / math.factorial(i) for i in range(self.order + 1))
