"""The rows of the demo's table: every way to spend the same number of full steps."""

from dataclasses import dataclass

from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import NoCorrection
from clusca_ext.forecast import ReuseForecaster, TaylorForecaster
from clusca_ext.schedule import EvenSchedule, IntervalSchedule

WARMUP = 2  # the paper's, on DiT

FULL = "full sampler"
FEWER = "fewer steps"
BOUNDED = "Taylor, bounded"
DEFAULT = "ClusCa, default"


@dataclass(frozen=True)
class Row:
    """A way to sample.

    Attributes:
        name: What the table calls it.
        interval: The interval whose number of full steps it takes; 0: the full sampler.
        steps: Steps of the sampler.
        config: The cache; None: the untouched model.
    """

    name: str
    interval: int
    steps: int
    config: ClusCaConfig | None

    def __str__(self) -> str:
        return f"{self.name}, interval {self.interval}" if self.interval else self.name


def full_steps(interval: int, steps: int) -> int:
    schedule = IntervalSchedule(interval=interval, warmup=WARMUP)
    return sum(schedule.is_full(step) for step in range(steps))


def rows_of(interval: int, steps: int) -> list[Row]:
    """All rows of an interval, the same number of full steps in each."""
    by_interval = IntervalSchedule(interval=interval, warmup=WARMUP)
    evenly = EvenSchedule(interval=interval, warmup=WARMUP)
    unbounded = TaylorForecaster(order=1, bounded=False)
    bounded = TaylorForecaster(order=1)
    none = NoCorrection()
    paper = ClusCaConfig.paper("dit")
    cached = {
        "reuse": ClusCaConfig(schedule=by_interval, forecaster=ReuseForecaster(), corrector=none),
        "Taylor, unbounded": ClusCaConfig(
            schedule=by_interval, forecaster=unbounded, corrector=none
        ),
        BOUNDED: ClusCaConfig(schedule=by_interval, forecaster=bounded, corrector=none),
        "Taylor, bounded, even": ClusCaConfig(schedule=evenly, forecaster=bounded, corrector=none),
        "ClusCa, the paper's": ClusCaConfig(
            schedule=by_interval, forecaster=paper.forecaster, corrector=paper.corrector
        ),
        DEFAULT: ClusCaConfig(schedule=evenly),
    }
    rows = [Row(FEWER, interval, full_steps(interval, steps), None)]
    return rows + [Row(name, interval, steps, config) for name, config in cached.items()]
