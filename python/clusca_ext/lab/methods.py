"""The methods that are compared: one entry each, a configuration of an interval and an order.

An entry returns None where the combination does not exist, and may leave the order aside, as reuse
does. At one interval all take the same number of full steps, but for those that decide by
themselves, PAB and masks, which compute single modules, and placements on other models than their
own. ``fitted.py`` has what exists for one model alone.
"""

from dataclasses import replace

from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import ClusterCorrector, TokenCorrector
from clusca_ext.correction.scores import CATScores, ToCaScores
from clusca_ext.forecast import NewtonForecaster
from clusca_ext.lab.fitted import FITTED, adacache, first_block, speca, teacache, teacache_of
from clusca_ext.lab.parts import (
    NONE,
    RESIDUAL,
    Method,
    by_interval,
    composed,
    damped,
    evenly,
    hermite,
    hermite_unbounded,
    high_band,
    reuse,
    spaced_hermite,
    taylor,
    taylor_unbounded,
    unordered,
)
from clusca_ext.methods import method
from clusca_ext.presets.placements import load_placement
from clusca_ext.schedule import EvenSchedule, PyramidSchedule, Schedule
from clusca_ext.storage.lean.description import LeanStorage

LONGEST = 10_000  # steps of a run
BASELINE = "taylor-even"  # what every other method is paired with, at order 1
BASELINE_ORDER = 1
PLACEMENTS = {"placed-digits": "digits-50-10", "placed-pictures": "pictures-25-6"}  # presets
COUNTS = "taylor-even-steps"  # the baseline, of which an interval is the number of full steps


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
    "placed-digits": placed(PLACEMENTS["placed-digits"], at=6),
    "placed-pictures": placed(PLACEMENTS["placed-pictures"], at=5),
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


def all_methods() -> list[str]:
    """Names of all entries, of any model."""
    return [*METHODS, *FITTED]


def configured(
    name: str, interval: int, order: int, model: str | None = None
) -> ClusCaConfig | None:
    """What a row's method is; None where that is nothing.

    Args:
        name: An entry of ``METHODS`` or of ``FITTED``, or ``COUNTS``.
        interval: Of the schedule; of ``COUNTS`` the number of full steps.
        order: Of the forecaster.
        model: The embedded model whose entries of ``FITTED`` there are, if any.

    Raises:
        ValueError: It cannot be made, or there is no such method.
    """
    if name == COUNTS:
        return with_steps(interval)
    if name in FITTED:
        fitted = FITTED[name].get(model) if model is not None else None
        return None if fitted is None else fitted(interval, order)
    if name not in METHODS:
        raise ValueError(f"method must be one of {all_methods()}, got {name!r}")
    return METHODS[name](interval, order)
