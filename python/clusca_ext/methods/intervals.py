"""Published methods that compute every so many steps whole and forecast all between them."""

from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import NoCorrection
from clusca_ext.forecast import (
    FrequencyForecaster,
    HermiteForecaster,
    ReuseForecaster,
    TaylorForecaster,
)
from clusca_ext.schedule import IntervalSchedule
from clusca_ext.storage.lean.description import LeanStorage


def fora() -> ClusCaConfig:
    """FORA (arXiv 2407.01425): every third step is full, its modules' outputs are reused.

    The interval of 3 is that of the method's repository.
    """
    return ClusCaConfig(
        schedule=IntervalSchedule(interval=3, warmup=1),
        forecaster=ReuseForecaster(),
        corrector=NoCorrection(),
    )


def taylorseer() -> ClusCaConfig:
    """TaylorSeer (arXiv 2503.06923): unbounded Taylor of every module, as published.

    Interval 5 and order 2, for which the most figures were printed on FLUX.1-dev; the first three
    steps are full, as in the method's repository. ``TaylorForecaster()`` bounds the extrapolation,
    which the method does not. What differs: the code takes differences from the third step on, so
    that its first interval has order 1 alone, where ours has order 2 of the three full steps in a
    row.
    """
    return ClusCaConfig(
        schedule=IntervalSchedule(interval=5, warmup=3),
        forecaster=TaylorForecaster(order=2, bounded=False),
        corrector=NoCorrection(),
    )


def freqca() -> ClusCaConfig:
    """FreqCa (arXiv 2510.08669): one cumulative residual, its low frequencies reused.

    Interval 6, the first three steps full, low up to 0.1 of the largest radius, Hermite of order 2
    with sigma 0.71 above, as in the method's code for FLUX.1-dev. What differs:

    - The code keeps the stream behind the last block, we what the blocks add to it: to the model's
      own input of each step.
    - The code takes square grids only, or a Fourier transform over the tokens in line; we take
      cosines over grids of any sides and of video.
    - The code transforms what is kept at every cached step and keeps both bands, we replace the low
      band of older sums when a full step ends.
    - The code takes differences from the third step on, so that its first interval has order 1
      alone, where ours has order 2 of the three full steps in a row.
    - Where blocks have more than one segment, as double and single streams, there is a residual of
      each.
    """
    forecaster = HermiteForecaster(order=2, sigma=0.71, bounded=False)
    return ClusCaConfig(
        schedule=IntervalSchedule(interval=6, warmup=3),
        forecaster=FrequencyForecaster(forecaster=forecaster, low_band=0.1),
        corrector=NoCorrection(),
        storage=LeanStorage(basis="gated"),
    )
