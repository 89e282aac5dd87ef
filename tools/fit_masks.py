"""Find the masks that the laboratory measures: python tools/fit_masks.py digits

At the steps of the model's laboratory run it trains Learning-to-Cache's and HarmoniCa's routers for
the intervals below. SmoothCache's error bound is the one that leaves out nearest to what
Learning-to-Cache's masks do there. A training that was stopped goes on where it was
(build/fit_masks/). Masks and how they were found go to python/clusca_ext/lab/masks/<model>.json,
which the package ships.
"""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

from clusca_ext.digests import weights_digest
from clusca_ext.lab import fitted
from clusca_ext.lab.models import MODELS
from clusca_ext.learning import ErrorCurves, Price, Training, TrainingSettings, calibrate
from clusca_ext.learning.embedded import Task, training_of
from clusca_ext.learning.training import write_whole
from clusca_ext.schedule import MaskSchedule

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "fit_masks"
OUTPUT = Path(fitted.__file__).parent / "masks"
INTERVALS = (4, 6, 8)
HARMONICA = {"digits": (), "pictures": (6,)}  # 50 steps are hours of runs
BATCH, RATE, THETA = 2, 0.5, 0.5
UPDATES = 8  # of each cached step's logits by Learning-to-Cache
RUNS, REFRESH = 15, 5  # iterations of HarmoniCa, and those between two weighings of steps
MAX_GAP, SEEDS = 12, 4  # of SmoothCache
PENALTY = {"digits": 4e-4, "pictures": 3e-3}  # what a module costs; its output's error is as large


def train(model: str, pipeline: Any, name: str, interval: int) -> Training:
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
    folder = WORK / f"{model}-{name}-{interval}"
    training = training_of(pipeline, task, Price(penalty=PENALTY[model]), settings, folder)
    training.run(
        lambda measured: print(f"\r{folder.name} {training.iteration}", end="", flush=True)
    )
    return training


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


def plain(schedule: MaskSchedule) -> dict[str, str]:
    return {name: "".join(map(str, marks)) for name, marks in schedule.modules}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", choices=list(MODELS))
    model = parser.parse_args().model
    pipeline = MODELS[model].load()
    pipeline.set_progress_bar_config(disable=True)
    masks: dict[str, dict[int, dict[str, str]]] = {}
    about: dict[str, dict[str, Any]] = {}
    shares = {}

    def keep(name: str, interval: int, schedule: MaskSchedule, how: dict[str, Any]) -> None:
        masks.setdefault(name, {})[interval] = plain(schedule)
        about[f"{name}, interval {interval}"] = {"removed": round(schedule.removed, 4), **how}

    asked = {"learning-to-cache": INTERVALS, "harmonica": HARMONICA[model]}
    for name, intervals in asked.items():
        for interval in intervals:
            training = train(model, pipeline, name, interval)
            schedule = training.routers.schedule(THETA)
            derived = ("modules", "cached_steps", "weights")
            how = {key: value for key, value in training.about.items() if key not in derived}
            how |= {"iterations": training.iteration, "theta": THETA}
            keep(name, interval, schedule, how)
            if name == "learning-to-cache":
                shares[interval] = schedule.removed
    curves = curves_of(model, pipeline)
    for name, by in (("smoothcache", "kind"), ("smoothcache-modules", "module")):
        for interval, share in shares.items():
            how = {"by": by, "max_gap": MAX_GAP, "batch": BATCH, "seeds": SEEDS}
            keep(name, interval, curves.leaving_out(share, by=by), how)
    OUTPUT.mkdir(exist_ok=True)
    weights = weights_digest(pipeline.transformer)
    found = {"weights": weights, "about": about, "masks": masks}
    write_whole(OUTPUT / f"{model}.json", (json.dumps(found, indent=1) + "\n").encode())
    print(f"\n{OUTPUT / f'{model}.json'}")


if __name__ == "__main__":
    main()
