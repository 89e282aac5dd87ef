"""Extrapolation through the last outputs at the steps they were made at."""

import math
from dataclasses import dataclass

from clusca_ext.checks import flag, integer
from clusca_ext.forecast.forecaster import MAX_ORDER, is_beyond, reuse
from clusca_ext.forecast.outputs import combined, divided_differences


@dataclass(frozen=True, kw_only=True)
class NewtonForecaster:
    """The polynomial of degree O through the last O + 1 outputs, in Newton's form.

    ``sum_i (d + t_0 - t_0) (d + t_0 - t_1) ... (d + t_0 - t_(i-1)) [F_0, ..., F_i]``, with the
    divided differences ``[F_0, ..., F_i]`` at the outputs' steps ``t_0 > t_1 > ...``: exact for
    outputs that are polynomials of degree O in the step, at any spacings. At order 1 it is
    ``TaylorForecaster``; above, that takes ``d**i / i!`` for the product, of differences that are
    derivatives at even spacings alone.

    Attributes:
        order: Degree, 0 to 7.
        bounded: As in ``TaylorForecaster``.
    """

    order: int = 1
    bounded: bool = True

    def __post_init__(self) -> None:
        integer("order", self.order, 0, MAX_ORDER)
        flag("bounded", self.bounded)

    def shares(self, distance: int, spacings: tuple[int, ...]) -> tuple[float, ...]:
        if not spacings or (self.bounded and is_beyond(distance, spacings[0])):
            return reuse(len(spacings))
        since = [distance + sum(spacings[:i]) for i in range(len(spacings))]
        products = [float(math.prod(since[:i])) for i in range(len(spacings) + 1)]
        return combined(products, divided_differences(spacings))
