"""Which steps should be full, and where else that holds: python bench/placement_search.py

Sets a placement of full steps that a search has found against the even one in other settings, one
thing changed at a time: other digits or pictures, guidance, forecasters, correction, storage,
lengths of the run, numbers of full steps. On the digits it searches itself, and on some of the
pictures (--study prompts); the placement of all of them is the preset, which `clusca search` has
found. PSNR to the full sampler on seeds that the search has not seen, and
differences paired by sample, with standard errors, go to bench/results/<machine>-search.json as
they are measured. Started again it goes on where it was: the search from its journal in build/, and
what the results hold of this commit and placement is not drawn again.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from rich.progress import Progress
from safetensors.torch import load_file, save_file
from torch import Tensor

from clusca_ext import ClusCaConfig
from clusca_ext.demo.allocator import keep_freed_memory
from clusca_ext.demo.judge import Estimate, estimate
from clusca_ext.lab.models import PipelineModel, open_embedded
from clusca_ext.measuring.timing import DEVICE
from clusca_ext.presets.placements import load_placement
from clusca_ext.search import PipelineDraw, Placement, find_placement
from clusca_ext.search.journal import Journal, Scored
from clusca_ext.search.moves import Steps, even_placement
from clusca_ext.search.score import Scorer
from placement_settings import STUDIES, TRIES, Setting, Study
from results import BENCH, FOLDER, KEY, Recorder, machine, read

BATCH = 16  # samples drawn at once
WORK = BENCH.parent / "build" / "placement-search"


class KeptDraw(PipelineDraw):
    """Some classes of a model; a seed's is ``classes[seed % len(classes)]``.

    Keeps what the full sampler drew on the disk; no change of a cache changes it.

    Args:
        pipeline: The model's.
        num_steps: Steps of the run.
        classes: What is drawn.
        weights: A digest of the model's.
        guidance: Its scale; None: the model's usual one.
    """

    def __init__(
        self,
        pipeline: Any,
        num_steps: int,
        classes: range,
        weights: str,
        guidance: float | None = None,
    ) -> None:
        super().__init__(pipeline, self._draw, num_steps)
        self.classes, self.weights = classes, weights
        self.guidance = {} if guidance is None else {"guidance_scale": guidance}

    def __call__(self, config: ClusCaConfig | None, seeds: Sequence[int]) -> Tensor:
        if config is not None:
            return super().__call__(config, seeds)
        by = f"{self.weights}-torch-{torch.__version__}"
        classes = f"{self.classes[0]}-{len(self.classes)}"
        guided = "".join(f"-guidance-{scale}" for scale in self.guidance.values())
        run = f"{self.num_steps}-classes-{classes}{guided}-seeds-{seeds[0]}-{len(seeds)}"
        path = WORK / f"full-{by}-{run}.safetensors"
        if not path.exists():
            save_file({"pictures": super().__call__(None, seeds)}, path)
        return load_file(path)["pictures"]

    def _draw(self, seeds: Sequence[int]) -> Tensor:
        drawn = []
        for start in range(0, len(seeds), BATCH):
            part = seeds[start : start + BATCH]
            labels = [self.classes[seed % len(self.classes)] for seed in part]
            how = {"num_inference_steps": self.num_steps, **self.guidance}
            drawn.append(self.pipeline(labels, seeds=part, **how))
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


def searched(study: Study, pipeline: Any, weights: str, tries: int) -> tuple[Placement, Any]:
    """What was found, and how many decibels placements have on held-out seeds, as far as known."""
    if study.search is None:
        assert study.preset is not None
        return load_placement(study.preset), None
    draw = KeptDraw(pipeline, study.search.num_steps, study.settings[0].classes, weights)
    path = WORK / f"journal-{weights}.jsonl"
    with Progress() as progress:
        found = find_placement(draw, study.search, tries=tries, journal=path, progress=progress)
    return found, Journal(path, study.search.to_dict()).held_out.__getitem__


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--study", choices=list(STUDIES), default="digits")
    parser.add_argument("--tries", type=int, default=TRIES, help="of a search")
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds of the study")
    parser.add_argument("--settings", nargs="*", help="names; default: all")
    options = parser.parse_args()
    study = STUDIES[options.study]
    by_name = {setting.name: setting for setting in study.settings}
    names = list(by_name) if options.settings is None else options.settings
    if not set(names) <= set(by_name):
        parser.error(f"--settings must be of {list(by_name)}, got {names}")
    keep_freed_memory()
    WORK.mkdir(parents=True, exist_ok=True)
    pipeline, entry = open_embedded(study.model)
    weights = PipelineModel(study.model, pipeline.to(DEVICE), entry).weights
    recorder = Recorder(FOLDER / f"{machine()}-search.json")
    here = recorder.origin["commit"], recorder.origin["device"]
    found, known_score = searched(study, pipeline, weights, options.tries)
    print(found.steps, f"{found.gain:+} dB, held out {found.held_out_gain:+} dB", flush=True)
    end = time.monotonic() + options.limit
    rows = [r for r in read(recorder.path) if r["found"] == list(found.steps)]
    known = {tuple(r[name] for name in KEY) for r in rows if (r["commit"], r["device"]) == here}
    held_out = found.settings.held_out
    for setting in map(by_name.__getitem__, names):
        key = setting.key(len(held_out))
        if (*key.values(), here[1]) in known and not here[0].endswith("-dirty"):
            continue
        if time.monotonic() > end:
            print("the limit was reached: run it again for the rest")
            break
        of = setting.num_steps, setting.classes, weights, setting.guidance
        draw = KeptDraw(pipeline, *of)
        score = Scorer(draw, setting.config, held_out)
        if setting == study.settings[0] and known_score is not None:  # the search has drawn it
            score = known_score
        numbers = measured(setting, found, score)
        recorder.record(**key, setting=setting.name, **numbers, **of_search(found))
        print(f"{key['shape']}:", *numbers.items(), flush=True)


if __name__ == "__main__":
    main()
