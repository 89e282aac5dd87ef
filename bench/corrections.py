"""Which tokens are worth computing: python bench/corrections.py [--limit SECONDS]

Draws with the embedded digits model by every corrector, beside Taylor forecasts and beside reuse.
Rows go to bench/results/<machine>-corrections.json (``digit_rows``).
"""

import argparse
from dataclasses import dataclass
from functools import partial
from typing import Any

from clusca_ext import (
    CATScores,
    ClusCaConfig,
    ClusterCorrector,
    EvenSchedule,
    NoCorrection,
    RandomScores,
    ReuseForecaster,
    TaylorForecaster,
    ToCaScores,
    TokenCorrector,
)
from clusca_ext.correction import Corrector
from clusca_ext.correction.scores import Scores
from clusca_ext.demo.pipeline import load_digits
from clusca_ext.measuring.timing import DEVICE
from digit_rows import Key, key_of, record

STEPS, SAMPLES, INTERVAL, RATIO = 50, 64, 5, 0.175
TAYLOR, REUSE = "Taylor 1", "reuse"
NONE, CLUSTERS = "none", "clusters, the default"
SCORES: dict[str, Scores] = {
    "random tokens": RandomScores(),
    "`CATScores()`": CATScores(interval=INTERVAL),
    "`ToCaScores()`": ToCaScores(interval=INTERVAL),
}
ALTERNATING = "random tokens, `every=2`"
NAMES = (NONE, CLUSTERS, *SCORES, ALTERNATING)


@dataclass(frozen=True)
class Setting:
    """What is corrected, and what it is beside.

    Attributes:
        corrector: One of ``NAMES``.
        forecaster: ``TAYLOR``: what is computed counts at its step only; ``REUSE``: it replaces
            what is cached, if tokens are chosen by score.
    """

    corrector: str
    forecaster: str

    def key(self) -> Key:
        return key_of("corrections", f"{self.corrector}, {self.forecaster}", SAMPLES, STEPS)

    def config(self) -> ClusCaConfig:
        forecaster = TaylorForecaster(order=1) if self.forecaster == TAYLOR else ReuseForecaster()
        return ClusCaConfig(
            schedule=EvenSchedule(interval=INTERVAL),
            forecaster=forecaster,
            corrector=self._corrector(),
        )

    def _corrector(self) -> Corrector:
        if self.corrector == NONE:
            return NoCorrection()
        if self.corrector == CLUSTERS:
            return ClusterCorrector()
        alternates = self.corrector == ALTERNATING
        name, every = ("random tokens", 2) if alternates else (self.corrector, 1)
        persistent = self.forecaster == REUSE
        return TokenCorrector(ratio=RATIO, scores=SCORES[name], persistent=persistent, every=every)


SETTINGS = tuple(Setting(name, forecaster) for forecaster in (TAYLOR, REUSE) for name in NAMES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds")
    options = parser.parse_args()

    def make(setting: Setting) -> tuple[ClusCaConfig, dict[str, Any]]:
        return setting.config(), {}

    todo = [(setting.key(), partial(make, setting)) for setting in SETTINGS]
    record(load_digits().to(DEVICE), todo, SAMPLES, STEPS, options.limit)


if __name__ == "__main__":
    main()
