"""A model whose quality and time are known functions of its configuration, and a grid of it."""

import dataclasses
import math

import torch

from clusca_ext import HermiteForecaster, ReuseForecaster
from clusca_ext.lab import runner
from clusca_ext.lab.drawn import Drawn
from clusca_ext.lab.full import FullSampler
from clusca_ext.lab.grid import settings
from clusca_ext.lab.journal import Journal
from clusca_ext.lab.rows import Plan
from clusca_ext.schedule import Step
from clusca_ext.summary import Summary
from small_dit import make_dit, scheduler_of

STEPS, FULL_STEP, CACHED_STEP = 40, 1.0, 0.02
ORIGIN = {
    "version": "1",
    "commit": "abc",
    "sources": "def",
    "machine": "a-cpu",
    "device": "A CPU, 2 cores",
    "torch": "2",
    "diffusers": "0",
}


def places(config):
    decide = config.schedule.start(STEPS)
    return [index for index in range(STEPS) if decide(Step(index))]


def full_steps(config):
    return len(places(config))


def out_of_place(config):
    """Steps, in the mean, from where full steps are best: denser at the beginning."""
    steps = places(config)
    best = [(STEPS - 1) * (i / (len(steps) - 1)) ** 1.5 for i in range(len(steps))]
    return sum(abs(a - b) for a, b in zip(steps, best, strict=True)) / len(steps)


def expected_psnr(config):
    """Highest for Hermite of order 2 and sigma 0.5, bounded; fewer full steps cost quality."""
    forecaster, quality = config.forecaster, 70 - 1.2 * (STEPS - full_steps(config))
    if isinstance(forecaster, ReuseForecaster):
        return quality - 12
    quality -= 2 * abs(forecaster.order - 2) + (0 if forecaster.bounded else 4)
    if isinstance(forecaster, HermiteForecaster):
        quality += 6 - 10 * abs(forecaster.sigma - 0.5)
    return quality - (1 if config.corrector.computes else 0)


def expected_speedup(config):
    full = full_steps(config)
    return STEPS * FULL_STEP / (full * FULL_STEP + (STEPS - full) * CACHED_STEP)


def small_folder(folder):
    """A random model of the digits' kind, which draws in milliseconds."""
    make_dit(layers=2).save_pretrained(folder / "transformer")
    scheduler_of(4).save_pretrained(folder / "scheduler")
    return str(folder)


class SyntheticModel:
    """Pictures with an error of known size; every seed's differs, the same for all configurations.

    ``drawn`` are the runs so far; ``broken`` configurations raise.
    """

    name, steps, channels, device = "synthetic", STEPS, 0, torch.device("cpu")
    weights = "w"

    def __init__(self, broken=lambda config: False, judge=None):
        self.drawn, self.broken, self.judge = [], broken, judge

    def features(self):
        return self.judge

    def draw(self, config, seeds):
        self.drawn.append((config, list(seeds)))
        if config is not None and self.broken(config):
            raise RuntimeError("it does not work")
        images = torch.stack([self._image(config, seed) for seed in seeds])
        if config is None:
            return Drawn(images, STEPS * FULL_STEP * len(seeds), None)
        full = full_steps(config)
        seconds = (full * FULL_STEP + (STEPS - full) * CACHED_STEP) * len(seeds)
        return Drawn(images, seconds, self._summary(full))

    def full_seconds(self, seeds):
        return STEPS * FULL_STEP

    def quality(self, config):
        return expected_psnr(config)

    def _image(self, config, seed):
        generator = torch.Generator().manual_seed(seed)
        image = torch.rand(1, 8, 8, generator=generator) - 0.5
        if config is None:
            return image
        own = 3 * torch.randn((), generator=generator)  # dB
        size = 2 * 10 ** (-(self.quality(config) + own) / 20)
        return image + size * torch.where(torch.rand(1, 8, 8, generator=generator) > 0.5, 1, -1)

    def _summary(self, full):
        """Of what nobody here reads, zeros."""
        zeros = dict.fromkeys((field.name for field in dataclasses.fields(Summary)), 0)
        numbers = dict(
            steps=STEPS,
            branches=1,
            full=full,
            cached=STEPS - full,
            partial=0,
            full_by_sample=(),
            seconds={},
            speedup=None,
            storage="per block",
            cache_bytes=2**20,
            kmeans_iterations=None,
            run_known_by="",
            num_steps=STEPS,
            cached_step="eager",
        )
        return Summary(**(zeros | numbers))


class PlacingModel(SyntheticModel):
    """Its quality depends on where full steps lie, too."""

    def quality(self, config):
        return expected_psnr(config) - out_of_place(config)


class MeanFeatures:
    """Stands in for a network: it sees the mean of a picture and how much it varies."""

    def _of(self, images):
        flat = images.flatten(1)
        return torch.stack([flat.mean(1), flat.std(1)], 1)

    def distance(self, images, reference):
        return (self._of(images) - self._of(reference)).norm(dim=1)

    def frechet(self, images, reference):
        gap = self._of(images).mean(0) - self._of(reference).mean(0)
        return math.sqrt(gap.square().sum().item())


class Watch:
    """Keeps what it is told; ``stop_after`` interrupts at that many settings."""

    def __init__(self, stop_after=None):
        self.begun, self.rows, self.batches, self.stop_after = [], [], 0, stop_after

    def begin(self, setting):
        if len(self.begun) == self.stop_after:
            raise KeyboardInterrupt
        self.begun.append(setting)

    def batch(self):
        self.batches += 1

    def end(self, row):
        self.rows.append(row)


PLAN = Plan(samples=6, batch=4)
GRID = settings(["taylor-even", "reuse", "hermite-even"], [4, 6], [1, 2])


def measure(folder, model=None, watch=None, grid=GRID, who=ORIGIN, plan=PLAN, **options):
    model = model or SyntheticModel()
    journal = Journal(folder / "rows.jsonl", who)
    full = FullSampler(model, folder / "full.safetensors", who)
    return runner.run(model, grid, plan, journal, full, watch or Watch(), **options), journal


def cached_runs(model):
    return [config for config, _ in model.drawn if config is not None]
