"""What masks of modules are worth, and what they cost: python bench/masks.py [--limit SECONDS]

Draws with the embedded digits model, 20 steps of DDIM, by masks that were learnt (Learning-to-Cache
and HarmoniCa), measured (SmoothCache) or drawn at random, and beside them by full steps that are
spread evenly. Rows go to bench/results/<machine>-masks.json (``digit_rows``).
"""

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from clusca_ext import ClusCaConfig, ExplicitSchedule, MaskSchedule, NoCorrection
from clusca_ext.correction import ClusterCorrector, Corrector
from clusca_ext.demo.pipeline import NUM_CLASSES, DigitsPipeline, load_digits
from clusca_ext.digests import weights_digest
from clusca_ext.forecast import Forecaster, ReuseForecaster, TaylorForecaster
from clusca_ext.learning import ErrorCurves, calibrate
from clusca_ext.measuring.timing import DEVICE
from clusca_ext.origin import sources
from clusca_ext.presets import load_mask
from clusca_ext.schedule import Schedule
from clusca_ext.search.moves import even_placement
from digit_rows import Key, key_of, record
from results import BENCH

STEPS, SAMPLES = 20, 64
UNSEEN = 100_000  # seeds from here on are not drawn by what is measured
FORECASTERS: dict[str, Forecaster] = {
    "Taylor 1": TaylorForecaster(order=1),
    "reuse": ReuseForecaster(),
}
CORRECTORS: dict[str, Corrector] = {"": NoCorrection(), ", clusters": ClusterCorrector()}
EVEN, LEARNT = "even", ("learning-to-cache", "harmonica")
COUNTS = (11, 12, 13, 14, 15, 16)  # even full steps that masks are compared with
SMOOTH = (0.25, 0.4)  # shares that SmoothCache is asked to leave out
RANDOM = (0, 1)  # seeds
PRESETS = {"learning-to-cache": "digits-20-l2c", "harmonica": "digits-20-harmonica"}
WORK = BENCH.parent / "build" / "masks"


@dataclass(frozen=True)
class Setting:
    """Which modules are computed, and how the others are forecast.

    Attributes:
        masks: Who chose them.
        forecaster: An entry of ``FORECASTERS``.
        corrector: An entry of ``CORRECTORS``.
    """

    masks: str
    forecaster: str
    corrector: str = ""

    def key(self) -> Key:
        impl = f"{self.masks}, {self.forecaster}{self.corrector}"
        return key_of("masks", impl, SAMPLES, STEPS)

    def config(self, schedule: Schedule) -> ClusCaConfig:
        return ClusCaConfig(
            schedule=schedule,
            forecaster=FORECASTERS[self.forecaster],
            corrector=CORRECTORS[self.corrector],
        )


def even_of(count: int) -> str:
    return f"{EVEN}, {count} full steps"


def smooth_of(share: float) -> str:
    return f"smoothcache, {share:.0%}"


def random_of(seed: int) -> str:
    return f"random, seed {seed}"


def settings() -> Iterator[Setting]:
    """The most telling first."""
    chosen = [*LEARNT, *map(smooth_of, SMOOTH)]
    for forecaster in FORECASTERS:
        for masks in [*chosen, *map(even_of, COUNTS)]:
            yield Setting(masks, forecaster)
    yield from (Setting(random_of(seed), "Taylor 1") for seed in RANDOM)
    yield from (Setting(LEARNT[0], forecaster, ", clusters") for forecaster in FORECASTERS)


def random_mask(like: MaskSchedule, seed: int) -> MaskSchedule:
    """As many modules at each step, drawn anew."""
    draw = random.Random(seed)
    columns = list(zip(*(marks for _, marks in like.modules), strict=True))
    shuffled = [draw.sample(column, len(column)) for column in columns]
    names = [name for name, _ in like.modules]
    return MaskSchedule(modules=tuple(zip(names, zip(*shuffled, strict=True), strict=True)))


def curves_of(pipeline: DigitsPipeline) -> ErrorCurves:
    """The model's error curves, measured once by these sources."""
    path = WORK / f"curves-{weights_digest(pipeline.transformer)}-{sources()}.json"
    if not path.exists():
        WORK.mkdir(parents=True, exist_ok=True)

        def draw(seed: int) -> Tensor:
            seeds = [UNSEEN + 8 * seed + row for row in range(8)]
            labels = [each % NUM_CLASSES for each in seeds]
            return pipeline(labels, seeds=seeds, num_inference_steps=STEPS)

        curves = calibrate(pipeline.transformer, draw, STEPS, seeds=range(2))
        curves.save(path)
    return ErrorCurves.load(path)


class Schedules:
    """The schedules by what settings call them.

    Args:
        curves: The model's, for SmoothCache.
    """

    def __init__(self, curves: ErrorCurves) -> None:
        self._curves = curves
        self._even = {even_of(count): count for count in COUNTS}
        self._smooth = {smooth_of(share): share for share in SMOOTH}
        self._random = {random_of(seed): seed for seed in RANDOM}

    def of(self, masks: str) -> Schedule:
        if masks in self._even:
            return ExplicitSchedule(steps=even_placement(STEPS, self._even[masks]))
        if masks in self._smooth:
            return self._curves.leaving_out(self._smooth[masks])
        if masks in self._random:
            return random_mask(load_mask(PRESETS[LEARNT[0]]), self._random[masks])
        return load_mask(PRESETS[masks])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds")
    options = parser.parse_args()
    pipeline = load_digits().to(DEVICE)
    schedules = Schedules(curves_of(pipeline))

    def make(setting: Setting) -> tuple[ClusCaConfig, dict[str, float | None]]:
        schedule = schedules.of(setting.masks)
        return setting.config(schedule), {"removed": getattr(schedule, "removed", None)}

    todo = [(setting.key(), partial(make, setting)) for setting in settings()]
    record(pipeline, todo, SAMPLES, STEPS, options.limit)


if __name__ == "__main__":
    main()
