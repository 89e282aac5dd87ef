"""A router's training on tiny models: what tests of it share."""

from functools import partial

import torch

from clusca_ext.adapters import describe
from clusca_ext.learning import (
    Call,
    DataPairs,
    Mixer,
    PairObjective,
    Price,
    Routers,
    RunObjective,
    Training,
    TrainingSettings,
    TrajectoryPairs,
)
from small_dit import CLASSES, sample, scheduler_of

STEPS = 6
CACHED = (1, 3, 5)


def sampler(model, steps=STEPS):
    """Runs small_dit's loop with a seed."""
    return lambda seed: sample(model, steps=steps, samples=1, seed=seed)


def draw(generator):
    clean = torch.rand(2, 1, 16, 16, generator=generator) * 2 - 1
    return clean, torch.randint(CLASSES, (2,), generator=generator)


def call_of(noisy, timestep, labels):
    return Call((noisy,), {"timestep": timestep.expand(len(noisy)), "class_labels": labels})


def pairs_of(model, source):
    if source == "data":
        return DataPairs(model, scheduler_of(STEPS), STEPS, draw, call_of)
    return TrajectoryPairs(model, sampler(model), STEPS, uses=4)


def training_of(
    model, folder, source="trajectory", iterations=8, forecaster=None, every=3, clock=None, **price
):
    """A training run: its objective is "run", or that of pairs from a source."""
    settings = TrainingSettings(iterations=iterations, learning_rate=0.3, every=every)
    mixer = Mixer(describe(model), forecaster)
    routers = Routers(mixer.keys, mixer.learnt, STEPS, CACHED, settings.generator(-1))
    price = Price(**{"penalty": 1e-3, **price})
    if source == "run":
        make = partial(RunObjective, mixer, routers, sampler(model), refresh=5)
        objective = make(price=price)
    else:
        objective = PairObjective(mixer, routers, pairs_of(model, source), price)
    timed = {} if clock is None else {"clock": clock}
    return Training(mixer, routers, objective, settings, folder, **timed)
