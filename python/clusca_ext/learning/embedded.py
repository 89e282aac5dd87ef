"""Routers of the embedded models, or of one of their kinds: how they are trained."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from clusca_ext.adapters import describe
from clusca_ext.checks import integer
from clusca_ext.demo.guided import GuidedPipeline
from clusca_ext.demo.pipeline import NUM_CLASSES, DigitsPipeline
from clusca_ext.forecast import TaylorForecaster
from clusca_ext.learning.calls import Call
from clusca_ext.learning.mixing import Mixer
from clusca_ext.learning.objective import Objective, PairObjective, Price
from clusca_ext.learning.pairs import DataPairs, Pairs, TrajectoryPairs
from clusca_ext.learning.routers import Routers
from clusca_ext.learning.run_objective import RunObjective
from clusca_ext.learning.training import Training, TrainingSettings

OBJECTIVES = ("pairs", "data", "run")
_FIRST_SEED = 100_000  # of the samples trained on: measurements begin with seed 0


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a router of an embedded model is trained for.

    Attributes:
        steps: Steps of a run.
        interval: Every so many steps is full, from the first on; the others have a router.
        order: Of the Taylor forecast; 0: outputs are reused.
        objective: ``"pairs"``: pairs of steps from recorded runs; ``"data"``: pairs made of real
            digits, of the digits model alone; ``"run"``: along the student's own run.
        batch: Samples in a batch, each with guidance.
        theta: Betas above it compute their modules.
        refresh: Of ``"run"``: iterations from one measurement of the steps' weights to the next.

    Raises:
        ValueError: A value is out of range.
    """

    steps: int = 20
    interval: int = 2
    order: int = 0
    objective: str = "pairs"
    batch: int = 8
    theta: float = 0.1
    refresh: int = 100

    def __post_init__(self) -> None:
        integer("steps", self.steps, 2)
        integer("interval", self.interval, 2)
        integer("batch", self.batch, 1)
        integer("refresh", self.refresh, 1)
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective must be one of {list(OBJECTIVES)}, got {self.objective!r}")

    @property
    def cached_steps(self) -> tuple[int, ...]:
        return tuple(step for step in range(self.steps) if step % self.interval)

    def sample(self, pipeline: GuidedPipeline, seed: int) -> Tensor:
        """A batch of pictures that no other seed draws. [B, C, H, W]"""
        seeds = [_FIRST_SEED + seed * self.batch + row for row in range(self.batch)]
        labels = [each % pipeline.num_classes for each in seeds]
        return pipeline(labels, seeds=seeds, num_inference_steps=self.steps)


def training_of(
    pipeline: GuidedPipeline,
    task: Task,
    price: Price,
    settings: TrainingSettings,
    folder: Any,
) -> Training:
    """A training run on an embedded model, or what is left of it.

    Raises:
        ValueError: The folder has a checkpoint of another run, or real digits were asked for to
            train another model.
        ImportError: The objective needs real digits, and scikit-learn is not installed.
    """
    model = pipeline.transformer
    mixer = Mixer(describe(model), TaylorForecaster(order=task.order))
    first = settings.generator(-1)
    routers = Routers(mixer.keys, mixer.learnt, task.steps, task.cached_steps, first)
    sample = partial(task.sample, pipeline)
    objective: Objective
    if task.objective == "run":
        objective = RunObjective(mixer, routers, sample, price, task.theta, task.refresh)
    else:
        pairs: Pairs = (
            _pairs_of_digits(pipeline, task)
            if task.objective == "data"
            else TrajectoryPairs(model, sample, task.steps)
        )
        objective = PairObjective(mixer, routers, pairs, price)
    about = {"order": task.order, "batch": task.batch}
    return Training(mixer, routers, objective, settings, folder, about)


def _pairs_of_digits(pipeline: GuidedPipeline, task: Task) -> DataPairs:
    """Pairs made of scikit-learn's real digits; a tenth of the labels is dropped."""
    if not isinstance(pipeline, DigitsPipeline):
        raise ValueError(
            "objective must be 'pairs' or 'run' for a model that does not draw digits, got 'data'"
        )
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError(
            "objective 'data' needs scikit-learn for its digits: pip install 'clusca_ext[train]'"
        ) from None
    data = load_digits()
    small = torch.from_numpy(data.images).float().unsqueeze(1) / 16
    images = F.interpolate(small, size=(32, 32), mode="bicubic", align_corners=False).clamp(0, 1)
    images, classes = images * 2 - 1, torch.from_numpy(data.target).long()

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(images), (task.batch,), generator=generator)
        dropped = torch.rand(task.batch, generator=generator) < 0.1
        return images[index], torch.where(dropped, NUM_CLASSES, classes[index])

    def call(noisy: Tensor, timestep: Tensor, labels: Tensor) -> Call:
        time = timestep.expand(len(noisy))
        return Call((noisy,), {"timestep": time, "class_labels": labels})

    return DataPairs(pipeline.transformer, pipeline.scheduler, task.steps, draw, call)
