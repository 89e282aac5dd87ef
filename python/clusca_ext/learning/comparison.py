"""What masks of an embedded model are worth: distance to the full sampler, beside even steps."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import ClusterCorrector, Corrector, NoCorrection
from clusca_ext.demo.guided import GuidedPipeline
from clusca_ext.demo.judge import HIGHEST, Estimate, estimate, psnr
from clusca_ext.enable import cache
from clusca_ext.forecast import Forecaster, ReuseForecaster, TaylorForecaster
from clusca_ext.schedule import ExplicitSchedule, MaskSchedule, Schedule

FORECASTERS: dict[str, Forecaster] = {
    "reuse": ReuseForecaster(),
    "Taylor, order 1": TaylorForecaster(order=1),
}
CORRECTORS: dict[str, Corrector] = {"": NoCorrection(), ", clusters": ClusterCorrector()}


@dataclass(frozen=True)
class Compared:
    """One way to predict what is not computed, on masks and on even full steps.

    Attributes:
        name: Of the way.
        learned: PSNR of the masks to the full sampler, in decibels.
        even: The same of as many computed modules in full steps, evenly spread.
        gain: Learned minus even, paired by sample.
    """

    name: str
    learned: Estimate
    even: Estimate
    gain: Estimate


def even_steps(schedule: MaskSchedule) -> tuple[int, ...]:
    """Full steps of as many computed modules, at least, evenly from the first to the last."""
    computed = sum(sum(marks) for _, marks in schedule.modules)
    count = max(-(-computed // len(schedule.modules)), 2)
    last = schedule.num_steps - 1
    return tuple(round(i * last / (count - 1)) for i in range(count))


def compare(pipeline: GuidedPipeline, schedule: MaskSchedule, samples: int = 32) -> list[Compared]:
    """Draw the same samples with every way; sample i has seed i."""
    labels = [index % pipeline.num_classes for index in range(samples)]

    def draw() -> Tensor:
        return pipeline(labels, num_inference_steps=schedule.num_steps)

    full = draw()

    def distance(schedule: Schedule, forecaster: Forecaster, corrector: Corrector) -> Tensor:
        config = ClusCaConfig(schedule=schedule, forecaster=forecaster, corrector=corrector)
        with cache(pipeline, config):
            return psnr(draw(), full).clamp(max=HIGHEST)  # of pictures that are the same, too

    even = ExplicitSchedule(steps=even_steps(schedule))
    compared = []
    for forecast, forecaster in FORECASTERS.items():
        for corrects, corrector in CORRECTORS.items():
            ours = distance(schedule, forecaster, corrector)
            theirs = distance(even, forecaster, corrector)
            both = estimate(ours), estimate(theirs), estimate(ours - theirs)
            compared.append(Compared(forecast + corrects, *both))
    return compared


def plain(compared: Sequence[Compared], samples: int, name: str = "learned") -> dict[str, object]:
    """For a report in JSON, where the masks have a name."""
    rows = {
        each.name: {
            of: [round(value.mean, 2), round(value.error, 2)]
            for of, value in ((name, each.learned), ("even", each.even), ("gain", each.gain))
        }
        for each in compared
    }
    return {"psnr_and_standard_error": rows, "psnr_samples": samples}
