"""The methods that are compared: one entry each, a configuration of an interval and an order.

An entry returns None where the combination does not exist, and may leave the order aside, as reuse
does. At one interval all take the same number of full steps, but for those that decide by
themselves.
"""

from collections.abc import Callable
from dataclasses import replace

from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import ClusterCorrector, Corrector, NoCorrection
from clusca_ext.demo.rows import WARMUP
from clusca_ext.forecast import Forecaster, HermiteForecaster, ReuseForecaster, TaylorForecaster
from clusca_ext.schedule import EvenSchedule, IntervalSchedule, Schedule
from clusca_ext.storage.lean.description import LeanStorage

Method = Callable[[int, int], ClusCaConfig | None]  # of an interval and an order

NONE = NoCorrection()
BASELINE = "taylor-even"  # what every other method is paired with, at order 1
BASELINE_ORDER = 1


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


def paper(interval: int, order: int) -> ClusCaConfig:
    """ClusCa as released for DiT: its own order, whatever is asked for."""
    return replace(ClusCaConfig.paper("dit"), schedule=by_interval(interval))


METHODS: dict[str, Method] = {
    "taylor-even": composed(evenly, taylor),
    "reuse": composed(by_interval, reuse),  # FORA
    "reuse-even": composed(evenly, reuse),
    "taylor": composed(by_interval, taylor),
    "taylor-unbounded": composed(by_interval, taylor_unbounded),  # TaylorSeer
    "taylor-unbounded-even": composed(evenly, taylor_unbounded),
    "hermite": composed(by_interval, hermite),
    "hermite-unbounded": composed(by_interval, hermite_unbounded),  # HiCache
    "hermite-even": composed(evenly, hermite),
    "hermite-unbounded-even": composed(evenly, hermite_unbounded),
    "clusca-paper": paper,
    "clusca": composed(by_interval, taylor, ClusterCorrector()),
    "clusca-even": composed(evenly, taylor, ClusterCorrector()),
    "clusca-hermite-even": composed(evenly, hermite, ClusterCorrector()),
    "lean-window": composed(evenly, taylor, storage=LeanStorage(basis="window")),
    "lean-gated": composed(evenly, taylor, storage=LeanStorage(basis="gated")),  # TaylorSeer-Lite
}
