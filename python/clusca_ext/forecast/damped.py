"""Less weight for higher orders."""

from dataclasses import dataclass

from clusca_ext.checks import number
from clusca_ext.forecast.forecaster import Forecaster, require_forecaster
from clusca_ext.forecast.frequency import FrequencyForecaster
from clusca_ext.forecast.outputs import combined, differences, weights_of
from clusca_ext.forecast.taylor import TaylorForecaster


@dataclass(frozen=True, kw_only=True)
class DampedForecaster:
    """Another forecaster's weight of the i-th difference, times ``eta**i``.

    ``sum_i eta**i w_i F_i``: of what extrapolation adds to the last output, the more is left out
    the higher its order, and so the noisier. Of a forecaster of outputs, ``w_i`` are what it takes
    of the finite differences.

    Attributes:
        forecaster: The other; damping goes inside of a ``FrequencyForecaster``.
        eta: In [0, 1]; 1 changes nothing, 0 reuses the last output.
    """

    forecaster: Forecaster = TaylorForecaster()
    eta: float = 0.9

    def __post_init__(self) -> None:
        require_forecaster("forecaster", self.forecaster)
        if isinstance(self.forecaster, FrequencyForecaster):
            raise ValueError(
                "forecaster must not split frequencies: damp the forecaster that it holds, got "
                f"{self.forecaster!r}"
            )
        number("eta", self.eta)
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta must be in [0, 1], got {self.eta!r}")

    @property
    def order(self) -> int:
        return self.forecaster.order

    def shares(self, distance: int, spacings: tuple[int, ...]) -> tuple[float, ...]:
        weights = weights_of(self.forecaster, distance, spacings)
        damped = [self.eta**i * weight for i, weight in enumerate(weights)]
        return combined(damped, differences(spacings))
