"""Reuse and Taylor: weights of finite differences."""

import math
from dataclasses import dataclass

from clusca_ext.checks import flag, integer
from clusca_ext.forecast.forecaster import MAX_ORDER, is_beyond, reuse


@dataclass(frozen=True, kw_only=True)
class ReuseForecaster:
    """Order 0: the module's last output, unchanged (FORA, arXiv 2407.01425)."""

    @property
    def order(self) -> int:
        return 0

    def weights(self, distance: int, spacing: int | None) -> tuple[float, ...]:
        return reuse(0)


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
        if self.bounded and is_beyond(distance, spacing):
            return reuse(self.order)
        return tuple(distance**i / math.factorial(i) for i in range(self.order + 1))
