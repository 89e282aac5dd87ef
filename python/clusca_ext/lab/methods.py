"""The methods that are compared: one entry each, a configuration of an interval and an order.

An entry returns None where the combination does not exist, and may leave the order aside, as reuse
does. At one interval all take the same number of full steps, but for those that decide by
themselves, PAB, which computes single modules, and placements on other models than their own.
"""

from collections.abc import Callable
from dataclasses import replace

from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import ClusterCorrector, Corrector, NoCorrection, TokenCorrector
from clusca_ext.correction.scores import CATScores, ToCaScores
from clusca_ext.demo.rows import WARMUP
from clusca_ext.forecast import (
    DampedForecaster,
    Forecaster,
    FrequencyForecaster,
    HermiteForecaster,
    NewtonForecaster,
    ReuseForecaster,
    SpacedHermiteForecaster,
    TaylorForecaster,
)
from clusca_ext.lab.fitted import teacache_of
from clusca_ext.methods import method
from clusca_ext.presets.placements import load_placement
from clusca_ext.schedule import (
    AdaCacheSchedule,
    EvenSchedule,
    FirstBlockSchedule,
    IntervalSchedule,
    PyramidSchedule,
    Schedule,
    SpeCaSchedule,
    TeaCacheSchedule,
)
from clusca_ext.schedule.adacache import CODEBOOK_30
from clusca_ext.storage.lean.description import LeanStorage

Method = Callable[[int, int], ClusCaConfig | None]  # of an interval and an order

NONE = NoCorrection()
LONGEST = 10_000  # steps of a run
BASELINE = "taylor-even"  # what every other method is paired with, at order 1
BASELINE_ORDER = 1
COUNTS = "taylor-even-steps"  # the baseline, of which an interval is the number of full steps
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


# Thresholds with which the digits model takes about as many full steps as at that interval.


def teacache(interval: int) -> Schedule:
    return TeaCacheSchedule(threshold=0.025 * interval)


def first_block(interval: int) -> Schedule:
    return FirstBlockSchedule(threshold=0.025 * interval)


def speca(interval: int) -> Schedule:
    """With a floor, for the published threshold falls so low that every verified step fails."""
    threshold = 0.08 * interval
    return SpeCaSchedule(threshold=threshold, floor=threshold / 3, max_skips=interval + 4)


def adacache(interval: int) -> Schedule:
    """The published codebook for 30 steps, its intervals scaled."""
    codebook = tuple((change, max(1, round(n * interval / 4))) for change, n in CODEBOOK_30)
    return AdaCacheSchedule(codebook=codebook)


def pyramid(interval: int) -> Schedule:
    """PAB: attention alone waits, so that it saves less at one interval than the others."""
    return PyramidSchedule(ranges=(("attn", interval),))


def with_steps(full_steps: int) -> ClusCaConfig:
    """The baseline with so many full steps, in a run of any length."""
    schedule = EvenSchedule(interval=LONGEST, warmup=full_steps)
    return ClusCaConfig(schedule=schedule, forecaster=taylor(BASELINE_ORDER), corrector=NONE)


def paper(interval: int, order: int) -> ClusCaConfig:
    """ClusCa as released for DiT: its own order, whatever is asked for."""
    return replace(ClusCaConfig.paper("dit"), schedule=by_interval(interval))


def published(name: str) -> Method:
    """A method as ``methods.method`` has it, its own order included, at an interval."""

    def at(interval: int, order: int) -> ClusCaConfig:
        config = method(name)
        corrector = config.corrector
        if isinstance(corrector, TokenCorrector):
            scores = corrector.scores
            if isinstance(scores, (ToCaScores, CATScores)):
                corrector = replace(corrector, scores=replace(scores, interval=interval))
        return replace(config, schedule=by_interval(interval), corrector=corrector)

    return at


def newton(interval: int, order: int) -> ClusCaConfig | None:
    """Order 1 is unbounded Taylor's."""
    forecaster = NewtonForecaster(order=order)
    return composed(by_interval, lambda _: forecaster)(interval, order) if order > 1 else None


def newton_even(interval: int, order: int) -> ClusCaConfig | None:
    """Order 1 is Taylor's."""
    forecaster = NewtonForecaster(order=order)
    return composed(evenly, lambda _: forecaster)(interval, order) if order > 1 else None


def placed(name: str, at: int) -> Method:
    """A placement that was searched, at the interval of as many full steps on its model."""

    def of(interval: int, order: int) -> ClusCaConfig | None:
        schedule = load_placement(name).schedule
        return composed(lambda _: schedule, taylor)(interval, order) if interval == at else None

    return of


# The bound never acts on full steps that are spread evenly: unbounded forecasts have none there.
METHODS: dict[str, Method] = {
    "taylor-even": composed(evenly, taylor),
    "placed-digits": placed("digits-50-10", at=6),
    "placed-pictures": placed("pictures-25-6", at=5),
    "reuse": composed(by_interval, reuse),  # FORA
    "reuse-even": composed(evenly, reuse),
    "taylor": composed(by_interval, taylor),
    "taylor-unbounded": composed(by_interval, taylor_unbounded),  # TaylorSeer
    "hermite": composed(by_interval, hermite),
    "hermite-unbounded": composed(by_interval, hermite_unbounded),  # HiCache
    "hermite-even": composed(evenly, hermite),
    "newton-even": newton_even,
    "newton": newton,
    "spaced-hermite": composed(by_interval, spaced_hermite),
    "spaced-hermite-even": composed(evenly, spaced_hermite),
    "damped-even": composed(evenly, damped),
    "freqca": published("freqca"),
    "freqca-even": composed(evenly, high_band, storage=RESIDUAL),
    "frequency-even": composed(evenly, high_band),
    "toca": published("toca"),
    "duca": published("duca"),
    "cat": published("cat"),
    "clusca-paper": paper,
    "clusca": composed(by_interval, taylor, ClusterCorrector()),
    "clusca-even": composed(evenly, taylor, ClusterCorrector()),
    "clusca-hermite-even": composed(evenly, hermite, ClusterCorrector()),
    "teacache": unordered(teacache, RESIDUAL),
    "teacache-digits": unordered(teacache_of("digits"), RESIDUAL),
    "teacache-pictures": unordered(teacache_of("pictures"), RESIDUAL),
    "teacache-taylor": composed(teacache, taylor_unbounded),
    "first-block": unordered(first_block, RESIDUAL),
    "first-block-taylor": composed(first_block, taylor_unbounded),
    "speca": composed(speca, taylor_unbounded),
    "adacache": unordered(adacache),
    "pab": unordered(pyramid),
    "lean-window": composed(evenly, taylor, storage=LeanStorage(basis="window")),
    "lean-gated": composed(evenly, taylor, storage=RESIDUAL),  # TaylorSeer-Lite
}


def configured(name: str, interval: int, order: int) -> ClusCaConfig | None:
    """What a row's method is; None where that is nothing.

    Raises:
        ValueError: It cannot be made, or there is no such method.
    """
    if name == COUNTS:
        return with_steps(interval)
    if name not in METHODS:
        raise ValueError(f"method must be one of {list(METHODS)}, got {name!r}")
    return METHODS[name](interval, order)
