"""What lean storage does to pictures: python bench/quality.py [--samples 64] [--limit 2700]

The embedded model, the same seeds through the full sampler and through every setting: a forecaster,
schedule, corrector and interval, and each storage of them. PSNR to the full sampler, its difference
to per-block storage and what clusters add to it, both paired by sample, all with standard errors,
go to bench/results/<machine>-quality.json as they are measured, the most telling first. What that
file holds of this commit is not run again.
"""

import argparse
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache

from torch import Tensor

from clusca_ext import (
    ClusCaConfig,
    EvenSchedule,
    HermiteForecaster,
    IntervalSchedule,
    LeanStorage,
    TaylorForecaster,
)
from clusca_ext.correction import NoCorrection
from clusca_ext.demo.judge import Estimate, estimate, psnr
from clusca_ext.demo.pipeline import NUM_CLASSES, load_digits
from clusca_ext.demo.rows import FULL, Row
from clusca_ext.demo.run import Sampled, sample
from clusca_ext.measuring.timing import DEVICE
from results import FOLDER, KEY, Recorder, machine, read

SAMPLES, STEPS = 64, 50
INTERVALS = (4, 5, 6, 7, 8)
FORECASTERS = {
    "Taylor 1": TaylorForecaster(order=1),
    "Taylor 2": TaylorForecaster(order=2),
    "Hermite 1": HermiteForecaster(order=1),
    "Hermite 2": HermiteForecaster(order=2),
}
SCHEDULES = {
    "even": lambda interval: EvenSchedule(interval=interval),
    "warm-up of 3": lambda interval: IntervalSchedule(interval=interval, warmup=3),
}
PLAIN, CLUSTERS = "no clusters", "clusters"
CORRECTORS = {PLAIN: NoCorrection(), CLUSTERS: ClusCaConfig().corrector}
PER_BLOCK, EXACT, WINDOW, GATED = "per block", "exact", "window", "gated"
AUTO_RANK, RANK_1 = "window, rank auto", "window, rank 1"
STORAGES = {
    PER_BLOCK: "per_block",
    EXACT: LeanStorage(basis="exact"),
    WINDOW: LeanStorage(basis="window"),
    AUTO_RANK: LeanStorage(basis="window", rank="auto"),
    RANK_1: LeanStorage(basis="window", rank=1),
    GATED: LeanStorage(basis="gated"),
}
COMPARED = (PER_BLOCK, EXACT, WINDOW)  # with clusters and without


@dataclass(frozen=True)
class Part:
    """Settings that differ in their interval and storage."""

    forecaster: str
    schedule: str
    corrector: str = PLAIN
    storages: tuple[str, ...] = tuple(STORAGES)

    def __str__(self) -> str:
        return f"{self.forecaster}, {self.schedule}, {self.corrector}"

    def settings(self) -> list["Setting"]:
        names = self.forecaster, self.schedule, self.corrector
        return [Setting(*names, interval, s) for interval in INTERVALS for s in self.storages]


PARTS = (  # the most telling first
    Part("Taylor 1", "even"),
    Part("Hermite 2", "even"),
    Part("Taylor 2", "even"),
    Part("Taylor 1", "even", CLUSTERS, COMPARED),
    Part("Hermite 1", "even"),
    Part("Taylor 1", "warm-up of 3"),
    Part("Hermite 1", "warm-up of 3"),
    Part("Hermite 2", "even", CLUSTERS, COMPARED),
)


@dataclass(frozen=True)
class Setting:
    """One way to sample, in the words of the tables above."""

    forecaster: str
    schedule: str
    corrector: str
    interval: int
    storage: str

    @property
    def config(self) -> ClusCaConfig:
        return ClusCaConfig(
            schedule=SCHEDULES[self.schedule](self.interval),
            forecaster=FORECASTERS[self.forecaster],
            corrector=CORRECTORS[self.corrector],
            storage=STORAGES[self.storage],
        )

    def key(self, samples: int, steps: int) -> dict[str, str]:
        words = f"interval {self.interval}, {self.forecaster}, {self.schedule}, {self.corrector}"
        shape = f"digits-demo B{samples}, DDIM {steps} steps, {words}"
        return {"bench": "quality", "shape": shape, "dtype": "float32", "impl": self.storage}


def pair(value: Estimate) -> list[float]:
    return [round(value.mean, 4), round(value.error, 4)]


def gate_error(storage: str) -> float | None:
    """The gates' largest relative error in a run, as a summary says it of a window."""
    found = re.search(r"leaves? ([\d.]+) of the gates", storage)
    return float(found[1]) if found else None


def measured(setting: Setting, drawn: Callable[[Setting | None], Sampled]) -> dict[str, object]:
    """A row's numbers; ``drawn`` samples a setting, None: the full sampler."""

    def distance(of: Setting) -> Tensor:
        return psnr(drawn(of).images, drawn(None).images)

    ours, per_block = drawn(setting), replace(setting, storage=PER_BLOCK)
    theirs = drawn(per_block).images
    said = ours.summary
    assert said is not None
    numbers = {
        "full": ours.full,
        "cached": ours.cached,
        "psnr_db": pair(estimate(distance(setting))),
        "over_per_block_db": pair(estimate(distance(setting) - distance(per_block))),
        "relative_to_per_block": float(f"{(ours.images - theirs).norm() / theirs.norm():.2e}"),
        "gate_error": gate_error(said.storage),
        "cache_mib": round(said.cache_bytes / 2**20, 2),
        "words": said.storage,
    }
    if setting.corrector == CLUSTERS:
        plain = replace(setting, corrector=PLAIN)
        numbers["over_no_clusters_db"] = pair(estimate(distance(setting) - distance(plain)))
    return numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds")
    options = parser.parse_args()
    pipeline = load_digits().to(DEVICE)
    pipeline.set_progress_bar_config(disable=True)
    labels = [i % NUM_CLASSES for i in range(options.samples)]
    recorder = Recorder(FOLDER / f"{machine()}-quality.json")
    here = recorder.origin["commit"], recorder.origin["device"]
    rows = read(recorder.path)
    known = {tuple(r[name] for name in KEY) for r in rows if (r["commit"], r["device"]) == here}

    @cache
    def drawn(setting: Setting | None) -> Sampled:
        config = None if setting is None else setting.config
        row = Row(FULL, 0, options.steps, config)
        return sample(pipeline, row, labels, lambda: None)

    end = time.monotonic() + options.limit
    for setting in (each for part in PARTS for each in part.settings()):
        key = setting.key(options.samples, options.steps)
        if (*key.values(), here[1]) in known and not here[0].endswith("-dirty"):
            continue
        if time.monotonic() > end:
            print("the limit was reached: run it again for the rest")
            break
        numbers = measured(setting, drawn)
        recorder.record(**key, **asdict(setting), **numbers)
        print(f"{key['shape']}, {setting.storage}:", *numbers.items(), flush=True)


if __name__ == "__main__":
    main()
