"""Find the masks that the laboratory measures: python tools/fit_masks.py digits

At the steps of the model's laboratory run it trains Learning-to-Cache's and HarmoniCa's routers for
the intervals below. SmoothCache's error bound is the one that leaves out nearest to what
Learning-to-Cache's masks do there. A training that was stopped goes on where it was
(build/fit_masks/). Masks and how they were found go to python/clusca_ext/lab/masks/<model>.json,
which the package ships; those of the same weights and settings that it holds are not found again.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from clusca_ext.digests import weights_digest
from clusca_ext.lab import fitted
from clusca_ext.lab.models import MODELS
from clusca_ext.learning import ErrorCurves, Price, Training, TrainingSettings, calibrate
from clusca_ext.learning.embedded import Task, training_of
from clusca_ext.schedule import MaskSchedule
from clusca_ext.writing import write_whole

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "fit_masks"
OUTPUT = Path(fitted.__file__).parent / "masks"
INTERVALS = (4, 6, 8)
BATCH, RATE, THETA = 2, 0.5, 0.5
UPDATES = 8  # of each cached step's logits by Learning-to-Cache
RUNS, REFRESH = 15, 5  # iterations of HarmoniCa, and those between two weighings of steps
MAX_GAP, SEEDS = 12, 4  # of SmoothCache
PENALTY = {"digits": 4e-4, "pictures": 3e-3}  # what a module costs; its output's error is as large


def training_for(
    model: str, pipeline: Any, name: str, interval: int, work: Path = WORK
) -> Training:
    objective = "run" if name == "harmonica" else "pairs"
    task = Task(
        steps=MODELS[model].steps,
        interval=interval,
        order=1,
        objective=objective,
        batch=BATCH,
        theta=THETA,
        refresh=REFRESH,
    )
    iterations = RUNS if objective == "run" else UPDATES * len(task.cached_steps)
    settings = TrainingSettings(iterations=iterations, learning_rate=RATE)
    folder = work / f"{model}-{name}-{interval}"
    return training_of(pipeline, task, Price(penalty=PENALTY[model]), settings, folder)


def trained(training: Training) -> MaskSchedule:
    training.run(
        lambda measured: print(
            f"\r{training.path.parent.name} {training.iteration}", end="", flush=True
        )
    )
    return training.routers.schedule(THETA)


def about(training: Training) -> dict[str, Any]:
    """How a mask is found by it."""
    derived = ("modules", "cached_steps", "weights")
    how = {key: value for key, value in training.about.items() if key not in derived}
    return how | {"iterations": training.settings.iterations, "theta": THETA}


def curves_of(model: str, pipeline: Any) -> ErrorCurves:
    steps = MODELS[model].steps
    of = f"{weights_digest(pipeline.transformer)}-{steps}-{MAX_GAP}-{SEEDS}-{BATCH}"
    path = WORK / f"{model}-curves-{of}.json"
    if not path.exists():
        sample = partial(Task(steps=steps, batch=BATCH).sample, pipeline)
        curves = calibrate(pipeline.transformer, sample, steps, MAX_GAP, seeds=range(SEEDS))
        WORK.mkdir(parents=True, exist_ok=True)
        curves.save(path)
    return ErrorCurves.load(path)


class Masks:
    """The masks of a model by name and interval, and how each was found.

    Args:
        path: The file they go to; what it holds of other weights is left out.
        weights: A digest of the model's parameters.
    """

    def __init__(self, path: Path, weights: str) -> None:
        before = json.loads(path.read_text()) if path.exists() else {}
        if before.get("weights") != weights:
            before = {"about": {}, "masks": {}}
        self._path, self._before = path, before
        self._now: dict[str, Any] = {"weights": weights, "about": {}, "masks": {}}

    def keep(
        self, name: str, interval: int, how: dict[str, Any], find: Callable[[], MaskSchedule]
    ) -> float:
        """Take a mask from the file if it was found so, else find it.

        Returns:
            The share of modules that it leaves out.
        """
        label = f"{name}, interval {interval}"
        known = dict(self._before["about"].get(label, {}))
        removed: float = known.pop("removed", 0.0)
        if known == how:
            marks = self._before["masks"][name][str(interval)]
        else:
            schedule = find()
            removed = round(schedule.removed, 4)
            marks = {module: "".join(map(str, each)) for module, each in schedule.modules}
        self._now["masks"].setdefault(name, {})[str(interval)] = marks
        self._now["about"][label] = {"removed": removed, **how}
        self._write(self._before, self._now)  # with what is still to be asked for
        return removed

    def finish(self) -> None:
        """Leave out what was not asked for."""
        self._write(self._now)

    def _write(self, *several: dict[str, Any]) -> None:
        merged = {**several[-1], "about": {}, "masks": {}}
        for found in several:
            merged["about"] |= found["about"]
            for name, masks in found["masks"].items():
                merged["masks"][name] = merged["masks"].get(name, {}) | masks
        self._path.parent.mkdir(exist_ok=True)
        write_whole(self._path, (json.dumps(merged, indent=1) + "\n").encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", choices=list(MODELS))
    model = parser.parse_args().model
    pipeline = MODELS[model].load()
    pipeline.set_progress_bar_config(disable=True)
    masks = Masks(OUTPUT / f"{model}.json", weights_digest(pipeline.transformer))

    def learnt(name: str, interval: int) -> float:
        with tempfile.TemporaryDirectory() as empty:  # a checkpoint may be of other settings
            how = about(training_for(model, pipeline, name, interval, Path(empty)))

        def find() -> MaskSchedule:
            return trained(training_for(model, pipeline, name, interval))

        return masks.keep(name, interval, how, find)

    shares = {interval: learnt("learning-to-cache", interval) for interval in INTERVALS}
    for interval in INTERVALS:
        learnt("harmonica", interval)
    curves = cache(partial(curves_of, model, pipeline))
    for name, by in (("smoothcache", "kind"), ("smoothcache-modules", "module")):
        for interval, share in shares.items():
            how = {"by": by, "share": share, "max_gap": MAX_GAP, "batch": BATCH, "seeds": SEEDS}

            def find(share: float = share, by: str = by) -> MaskSchedule:
                return curves().leaving_out(share, by=by)

            masks.keep(name, interval, how, find)
    masks.finish()
    print(f"\n{OUTPUT / f'{model}.json'}")


if __name__ == "__main__":
    main()
