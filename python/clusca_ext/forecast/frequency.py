"""FreqCa: low frequencies over the token grid are reused, high ones are forecast."""

from dataclasses import dataclass

from clusca_ext.checks import number
from clusca_ext.forecast.forecaster import Forecaster, require_forecaster
from clusca_ext.forecast.hermite import HermiteForecaster
from clusca_ext.forecast.outputs import shares_of


@dataclass(frozen=True, kw_only=True)
class FrequencyForecaster:
    """Another forecaster, for the high frequencies alone (FreqCa, arXiv 2510.08669).

    ``low(F(T_0)) + high(sum_j a_j F(T_j))``, with the shares ``a_j`` of the other, low a projection
    onto cosines over the token grid (``storage/low_band.py``) and ``high = 1 - low``. As the shares
    sum to 1, that is ``sum_j a_j (high(F(T_j)) + low(F(T_0)))``: the low band of what is kept of
    older full steps is replaced by the last one's when that ends, and a cached step costs no more
    than without.

    For per-block storage and for lean storage without clusters in the bases ``"gated"``, the
    published method's, and ``"shared-emb"``. Tokens around the grid in a stream, such as text or
    those of given images, have no low frequencies.

    Attributes:
        forecaster: The other.
        low_band: Share of the largest frequency radius up to which a frequency is low, in [0, 1].
    """

    forecaster: Forecaster = HermiteForecaster(order=2, sigma=0.71)
    low_band: float = 0.1

    def __post_init__(self) -> None:
        require_forecaster("forecaster", self.forecaster)
        if isinstance(self.forecaster, FrequencyForecaster):
            raise ValueError(
                f"forecaster must not split frequencies itself, got {self.forecaster!r}"
            )
        number("low_band", self.low_band)
        if not 0 <= self.low_band <= 1:
            raise ValueError(f"low_band must be in [0, 1], got {self.low_band!r}")

    @property
    def order(self) -> int:
        return self.forecaster.order

    def shares(self, distance: int, spacings: tuple[int, ...]) -> tuple[float, ...]:
        return shares_of(self.forecaster, distance, spacings)
