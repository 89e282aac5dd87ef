"""What was fitted to an embedded model: thresholds, TeaCache's polynomial, masks of its modules.

Thresholds are those with which a model takes about as many full steps as at that interval. Those of
the digits are what any model is tried with; ``FITTED`` has what exists for one model alone, at the
steps of its entry in ``MODELS``.
"""

import json
import pathlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from clusca_ext.config import ClusCaConfig
from clusca_ext.forecast import ReuseForecaster, TaylorForecaster
from clusca_ext.lab.parts import NONE, RESIDUAL, Method, composed, taylor_unbounded, unordered
from clusca_ext.schedule import (
    AdaCacheSchedule,
    FirstBlockSchedule,
    MaskSchedule,
    Schedule,
    SpeCaSchedule,
    TeaCacheSchedule,
)
from clusca_ext.schedule.adacache import CODEBOOK_30

# What ``clusca calibrate MODEL --polynomial --seeds 16`` fits at 50 steps of the digits, where it
# explains 61 % of how much the output changes, and at 25 of the pictures, 77 %.
POLYNOMIALS = {
    "digits": (
        4022.9838557645458,
        -1480.5187291030607,
        173.41722557543244,
        -6.364039589628795,
        0.10572729788166459,
    ),
    "pictures": (
        -7142.3638353684155,
        3399.375008113269,
        -518.8414202275903,
        31.626000201293014,
        -0.6087521262791763,
    ),
}
THRESHOLDS = {"digits": 0.035, "pictures": 0.058}  # of the polynomials, by interval
_MASKS = pathlib.Path(__file__).parent / "masks"


def teacache_of(model: str) -> Callable[[int], Schedule]:
    """TeaCache with the polynomial of a model."""
    polynomial, threshold = POLYNOMIALS[model], THRESHOLDS[model]
    return lambda interval: TeaCacheSchedule(threshold=threshold * interval, polynomial=polynomial)


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


@cache
def found_masks(model: str) -> Mapping[str, Any]:
    """What ``tools/fit_masks.py`` wrote: ``masks`` of each way by interval, and how (``about``)."""
    found: dict[str, Any] = json.loads((_MASKS / f"{model}.json").read_text("utf-8"))
    return found


def masked(name: str, order: int) -> dict[str, Method]:
    """Masks of every model that has some, beside forecasts of one order, at their intervals."""

    def of(model: str) -> Method:
        def at(interval: int, _: int) -> ClusCaConfig | None:
            found = found_masks(model)["masks"].get(name, {}).get(str(interval))
            if found is None:
                return None
            marks = {module: tuple(map(int, each)) for module, each in found.items()}
            schedule = MaskSchedule(modules=tuple(marks.items()))
            forecaster = TaylorForecaster(order=order) if order else ReuseForecaster()
            return ClusCaConfig(schedule=schedule, forecaster=forecaster, corrector=NONE)

        return at

    return {path.stem: of(path.stem) for path in sorted(_MASKS.glob("*.json"))}


def _speca_of_pictures(interval: int, order: int) -> ClusCaConfig | None:
    """Its error divides by values near zero: thresholds that skip more rise quickly."""
    threshold = {4: 0.6, 5: 1.0, 6: 1.6, 7: 2.7, 8: 4.5}.get(interval)
    if threshold is None:
        return None
    schedule = SpeCaSchedule(threshold=threshold, floor=threshold / 3, max_skips=2 * interval)
    return composed(lambda _: schedule, taylor_unbounded)(interval, order)


def _first_block_of_pictures(interval: int) -> Schedule:
    return FirstBlockSchedule(threshold=0.03 * interval)


# By the name and the model. The digits' thresholds are those that every model is tried with.
FITTED: dict[str, dict[str, Method]] = {
    "learning-to-cache": masked("learning-to-cache", order=1),
    "harmonica": masked("harmonica", order=1),
    "smoothcache": masked("smoothcache", order=0),
    "smoothcache-taylor": masked("smoothcache", order=1),
    "smoothcache-modules": masked("smoothcache-modules", order=1),
    "speca-fitted": {"pictures": _speca_of_pictures},
    "first-block-fitted": {"pictures": unordered(_first_block_of_pictures, RESIDUAL)},
}
