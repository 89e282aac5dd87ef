"""Hermite polynomials instead of powers: contracted, and so more cautious."""

import math
from dataclasses import dataclass

from clusca_ext.checks import flag, integer, number
from clusca_ext.forecast.forecaster import MAX_ORDER, is_beyond, reuse
from clusca_ext.forecast.outputs import combined, divided_differences

UNITS = ("step", "spacing")


@dataclass(frozen=True, kw_only=True)
class HermiteForecaster:
    """``w_i = sigma**i * H_i(sigma * distance) / i!``, H the physicists' Hermite polynomials.

    At order 2: ``(1, 2 sigma^2 d, 2 sigma^4 d^2 - sigma^2)`` (HiCache, arXiv 2508.16984;
    FreqCa, 2510.08669).

    Attributes:
        order: Highest order, 0 to 7.
        sigma: Contraction in (0, 1]: the smaller, the more cautious the extrapolation.
        bounded: As in ``TaylorForecaster``.
    """

    order: int = 2
    sigma: float = 0.7
    bounded: bool = True

    def __post_init__(self) -> None:
        _check(self.order, self.sigma, self.bounded)

    def weights(self, distance: int, spacing: int | None) -> tuple[float, ...]:
        if self.bounded and is_beyond(distance, spacing):
            return reuse(self.order)
        terms = contracted(self.sigma, distance, self.order)
        return tuple(term / math.factorial(i) for i, term in enumerate(terms))


@dataclass(frozen=True, kw_only=True)
class SpacedHermiteForecaster:
    """Hermite over divided differences, which take the outputs at their true steps.

    ``sum_i sigma**i * H_i(sigma * d / u) * [F_0, ..., F_i]``, where ``[F_0, ..., F_i]`` are the
    divided differences over time in units ``u``, ``i! [F_0, ..., F_i]`` an i-th derivative at any
    spacings. In steps (``u = 1``) and with even spacings it is ``HermiteForecaster``.

    Attributes:
        order: Highest order, 0 to 7.
        sigma: Contraction in (0, 1].
        bounded: As in ``TaylorForecaster``.
        unit: ``"step"``, as HiCache counts; ``"spacing"``: the mean of the spacings used, so that
            a sampler of twice as many steps with twice the interval forecasts the same. The
            polynomials' lower terms, such as the ``-2`` of ``H_2``, grow with u.
    """

    order: int = 2
    sigma: float = 0.7
    bounded: bool = True
    unit: str = "step"

    def __post_init__(self) -> None:
        _check(self.order, self.sigma, self.bounded)
        if self.unit not in UNITS:
            raise ValueError(f"unit must be one of {list(UNITS)}, got {self.unit!r}")

    def shares(self, distance: int, spacings: tuple[int, ...]) -> tuple[float, ...]:
        if not spacings or (self.bounded and is_beyond(distance, spacings[0])):
            return reuse(len(spacings))
        unit = 1.0 if self.unit == "step" else sum(spacings) / len(spacings)
        rows = divided_differences([spacing / unit for spacing in spacings])
        return combined(contracted(self.sigma, distance / unit, len(spacings)), rows)


def contracted(sigma: float, distance: float, order: int) -> list[float]:
    """``sigma**i * H_i(sigma * distance)`` for i from 0 to order."""
    x = sigma * distance
    hermite = [1.0, 2 * x]
    for i in range(1, order):
        hermite.append(2 * x * hermite[i] - 2 * i * hermite[i - 1])
    return [sigma**i * hermite[i] for i in range(order + 1)]


def _check(order: int, sigma: float, bounded: bool) -> None:
    integer("order", order, 0, MAX_ORDER)
    flag("bounded", bounded)
    number("sigma", sigma)
    if not 0 < sigma <= 1:
        raise ValueError(f"sigma must be in (0, 1], got {sigma!r}")
