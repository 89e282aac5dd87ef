"""What methods are made of: placements and forecasters that exist at every interval and order."""

from collections.abc import Callable

from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import Corrector, NoCorrection
from clusca_ext.demo.rows import WARMUP
from clusca_ext.forecast import (
    DampedForecaster,
    Forecaster,
    FrequencyForecaster,
    HermiteForecaster,
    ReuseForecaster,
    SpacedHermiteForecaster,
    TaylorForecaster,
)
from clusca_ext.schedule import EvenSchedule, IntervalSchedule, Schedule
from clusca_ext.storage.lean.description import LeanStorage

Method = Callable[[int, int], ClusCaConfig | None]  # of an interval and an order

NONE = NoCorrection()
RESIDUAL = LeanStorage(basis="gated")  # what all blocks add to their stream, as one


def by_interval(interval: int) -> Schedule:
    """The paper's placement: a dense warm-up, then every interval-th step."""
    return IntervalSchedule(interval=interval, warmup=WARMUP)


def evenly(interval: int) -> Schedule:
    """As many full steps, spread evenly."""
    return EvenSchedule(interval=interval, warmup=WARMUP)


def taylor(order: int) -> Forecaster:
    return TaylorForecaster(order=order)


def taylor_unbounded(order: int) -> Forecaster:
    return TaylorForecaster(order=order, bounded=False)


def hermite(order: int) -> Forecaster:
    return HermiteForecaster(order=order)


def hermite_unbounded(order: int) -> Forecaster:
    return HermiteForecaster(order=order, bounded=False)


def spaced_hermite(order: int) -> Forecaster:
    return SpacedHermiteForecaster(order=order, unit="spacing")


def damped(order: int) -> Forecaster:
    return DampedForecaster(forecaster=taylor(order))


def high_band(order: int) -> Forecaster:
    """FreqCa's split of frequencies, its forecaster bounded."""
    return FrequencyForecaster(forecaster=hermite(order))


def reuse(order: int) -> Forecaster:
    return ReuseForecaster()


def composed(
    schedule: Callable[[int], Schedule],
    forecaster: Callable[[int], Forecaster],
    corrector: Corrector = NONE,
    storage: str | LeanStorage = "per_block",
) -> Method:
    """A method of parts that exist at every interval and order."""
    return lambda interval, order: ClusCaConfig(
        schedule=schedule(interval),
        forecaster=forecaster(order),
        corrector=corrector,
        storage=storage,
    )


def unordered(
    schedule: Callable[[int], Schedule], storage: str | LeanStorage = "per_block"
) -> Method:
    """A method that reuses what was computed last."""
    return composed(schedule, reuse, storage=storage)
