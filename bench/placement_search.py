"""Which steps should be full, and where else that holds: python bench/placement_search.py

Searches a placement of full steps on the embedded model, then sets it against the even one in other
settings, one thing changed at a time: other digits, forecasters, correction, storage, lengths of
the run, numbers of full steps. PSNR to the full sampler on seeds that the search has not seen, and
differences paired by sample, with standard errors, go to bench/results/<machine>-search.json as
they are measured. Started again it goes on where it was: the search from its journal in build/, and
what the results hold of this commit and placement is not drawn again.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.progress import Progress
from safetensors.torch import load_file, save_file
from torch import Tensor

from clusca_ext import ClusCaConfig, HermiteForecaster, LeanStorage, TaylorForecaster
from clusca_ext.correction import NoCorrection
from clusca_ext.demo.allocator import keep_freed_memory
from clusca_ext.demo.judge import Estimate, estimate
from clusca_ext.demo.pipeline import load_digits
from clusca_ext.lab.models import MODELS, PipelineModel
from clusca_ext.measuring.timing import DEVICE
from clusca_ext.search import PipelineDraw, Placement, SearchSettings, find_placement
from clusca_ext.search.journal import Journal, Scored
from clusca_ext.search.moves import Steps, even_placement
from clusca_ext.search.score import Scorer
from results import BENCH, FOLDER, KEY, Recorder, machine, read

SEEN, UNSEEN = range(5), range(5, 10)
BASE = ClusCaConfig(forecaster=TaylorForecaster(order=1), corrector=NoCorrection())
SEARCH = SearchSettings(
    num_steps=50,
    full_steps=10,
    config=BASE,
    training=tuple(range(8)),
    held_out=tuple(range(1000, 1064)),
    objective="embedded digits model, digits 0 to 4, guidance 1.25, DDIM",
)
TRIES = 60
BATCH = 16  # samples drawn at once
WORK = BENCH.parent / "build" / "placement-search"


@dataclass(frozen=True)
class Setting:
    """Where a found placement is tried.

    Attributes:
        name: What differs from the search, in words.
        config: The cache; its schedule does not matter.
        digits: What is drawn.
        num_steps: Steps of the run.
        full_steps: How many are full.
    """

    name: str
    config: ClusCaConfig = BASE
    digits: range = SEEN
    num_steps: int = SEARCH.num_steps
    full_steps: int = SEARCH.full_steps

    def key(self, samples: int) -> dict[str, str]:
        run = f"DDIM {self.num_steps} steps, {self.full_steps} full"
        shape = f"digits-demo B{samples}, {run}, {self.name}"
        return {"bench": "search", "shape": shape, "dtype": "float32", "impl": "searched"}

    def steps(self, found: Placement) -> Steps:
        """The found placement here: the same, or the nearest to its fractions of a run."""
        schedule = found.schedule
        if self.full_steps != len(found.steps):
            schedule = schedule.with_count(self.full_steps)
        return schedule.full_steps(self.num_steps)


SETTINGS = (  # the most telling first
    Setting("as searched"),
    Setting("Taylor 2", replace(BASE, forecaster=TaylorForecaster(order=2))),
    Setting("Hermite 2", replace(BASE, forecaster=HermiteForecaster(order=2))),
    Setting("clusters", replace(BASE, corrector=ClusCaConfig().corrector)),
    Setting("lean window", replace(BASE, storage=LeanStorage(basis="window"))),
    Setting("8 full steps", full_steps=8),
    Setting("12 full steps", full_steps=12),
    Setting("15 full steps", full_steps=15),
    Setting("digits 5 to 9", digits=UNSEEN),
    Setting("30 steps", num_steps=30),
    Setting("30 steps, as dense", num_steps=30, full_steps=6),
    Setting("100 steps", num_steps=100),
    Setting("100 steps, as dense", num_steps=100, full_steps=20),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}


class KeptDraw(PipelineDraw):
    """Some classes of a model; a seed's is ``digits[seed % len(digits)]``.

    Keeps what the full sampler drew on the disk; no change of a cache changes it.

    Args:
        pipeline: The model's.
        num_steps: Steps of the run.
        digits: What is drawn.
        weights: A digest of the model's.
    """

    def __init__(self, pipeline: Any, num_steps: int, digits: range, weights: str) -> None:
        super().__init__(pipeline, self._draw, num_steps)
        self.digits, self.weights = digits, weights

    def __call__(self, config: ClusCaConfig | None, seeds: Sequence[int]) -> Tensor:
        if config is not None:
            return super().__call__(config, seeds)
        by = f"{self.weights}-torch-{torch.__version__}"
        run = f"{self.num_steps}-digits-{self.digits[0]}-seeds-{seeds[0]}-{len(seeds)}"
        path = WORK / f"full-{by}-{run}.safetensors"
        if not path.exists():
            save_file({"pictures": super().__call__(None, seeds)}, path)
        return load_file(path)["pictures"]

    def _draw(self, seeds: Sequence[int]) -> Tensor:
        drawn = []
        for start in range(0, len(seeds), BATCH):
            part = seeds[start : start + BATCH]
            labels = [self.digits[seed % len(self.digits)] for seed in part]
            drawn.append(self.pipeline(labels, seeds=part, num_inference_steps=self.num_steps))
        return torch.cat(drawn).float().cpu()


def pair(value: Estimate) -> list[float]:
    return [round(value.mean, 4), round(value.error, 4)]


def measured(
    setting: Setting, found: Placement, score: Callable[[Steps], Scored]
) -> dict[str, object]:
    """A row's numbers: what the found placement draws beside the even one."""
    steps = setting.steps(found)
    even = even_placement(setting.num_steps, setting.full_steps)
    ours, theirs = (torch.tensor(score(each).psnr) for each in (steps, even))
    return {
        "steps": list(steps),
        "even": list(even),
        "psnr_db": pair(estimate(ours)),
        "even_psnr_db": pair(estimate(theirs)),
        "over_even_db": pair(estimate(ours - theirs)),
    }


def of_search(found: Placement) -> dict[str, object]:
    """What was searched and what it gained, beside every row."""
    return {
        "found": list(found.steps),
        "tries": found.tries,
        "training": len(found.settings.training),
        "training_gain_db": pair(found.gain),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tries", type=int, default=TRIES)
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds of the study")
    parser.add_argument("--settings", nargs="*", choices=list(BY_NAME), default=list(BY_NAME))
    options = parser.parse_args()
    keep_freed_memory()
    WORK.mkdir(parents=True, exist_ok=True)
    pipeline = load_digits().to(DEVICE)
    weights = PipelineModel("digits", pipeline, MODELS["digits"]).weights
    recorder = Recorder(FOLDER / f"{machine()}-search.json")
    here = recorder.origin["commit"], recorder.origin["device"]
    with Progress() as progress:
        draw = KeptDraw(pipeline, SEARCH.num_steps, SEEN, weights)
        journal = WORK / f"journal-{weights}.jsonl"
        found = find_placement(
            draw, SEARCH, tries=options.tries, journal=journal, progress=progress
        )
    print(found.steps, f"{found.gain:+} dB, held out {found.held_out_gain:+} dB", flush=True)
    end = time.monotonic() + options.limit
    rows = [r for r in read(recorder.path) if r["found"] == list(found.steps)]
    known = {tuple(r[name] for name in KEY) for r in rows if (r["commit"], r["device"]) == here}
    for setting in map(BY_NAME.__getitem__, options.settings):
        key = setting.key(len(SEARCH.held_out))
        if (*key.values(), here[1]) in known and not here[0].endswith("-dirty"):
            continue
        if time.monotonic() > end:
            print("the limit was reached: run it again for the rest")
            break
        draw = KeptDraw(pipeline, setting.num_steps, setting.digits, weights)
        score = Scorer(draw, setting.config, SEARCH.held_out)
        if setting == SETTINGS[0]:  # the search has drawn it
            score = Journal(journal, SEARCH.to_dict()).held_out.__getitem__
        numbers = measured(setting, found, score)
        recorder.record(**key, setting=setting.name, **numbers, **of_search(found))
        print(f"{key['shape']}:", *numbers.items(), flush=True)


if __name__ == "__main__":
    main()
