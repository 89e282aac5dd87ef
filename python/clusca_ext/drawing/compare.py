"""The same seeds without a cache and with one, in turn: pictures, times, and how near they are."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any, ClassVar, Protocol

from clusca_ext.drawing.choice import Choice
from clusca_ext.drawing.draw import Drawn, draw, psnr
from clusca_ext.drawing.sheet import Panel
from clusca_ext.drawing.sources import Source
from clusca_ext.enable import cache, summary
from clusca_ext.quiet import is_quiet
from clusca_ext.summary import Summary

FULL = "full sampler"


class Watch(Protocol):
    """What is told how it goes."""

    def begin(self, words: str) -> None: ...

    def step(self) -> None: ...


@dataclass
class Compared:
    """What was drawn, as far as it has come.

    Attributes:
        choice: The cache.
        seeds: Of the pictures.
        full: Runs without the cache, by seed, one a repeat.
        cached: Runs with it.
        summary: What the cache did in its last run.
        warm_up: Steps of the run without the cache that came before all others.
    """

    BUSY: ClassVar[str] = (
        "The machine was not quiet: the full sampler's own times differ too much; do not trust the "
        "speed."
    )
    choice: Choice
    seeds: Sequence[int]
    warm_up: int
    full: dict[int, list[Drawn]] = field(default_factory=dict)
    cached: dict[int, list[Drawn]] = field(default_factory=dict)
    summary: Summary | None = None

    @property
    def full_seconds(self) -> float:
        """Median of all runs without the cache."""
        return _median(self.full)

    @property
    def cached_seconds(self) -> float:
        return _median(self.cached)

    @property
    def speedup(self) -> float:
        return self.full_seconds / self.cached_seconds

    @property
    def psnr(self) -> float:
        """Mean over the seeds, decibels."""
        return mean(self.psnr_of(seed) for seed in self.cached)

    def psnr_of(self, seed: int) -> float:
        return psnr(self.cached[seed][0].frames, self.full[seed][0].frames)

    @property
    def is_quiet(self) -> bool | None:
        """Whether runs without the cache took equally long; None: there was only one."""
        seconds = _seconds(self.full)
        return None if len(seconds) < 2 else is_quiet(seconds)

    def panels(self) -> list[list[Panel]]:
        """A row a seed, of what is there so far."""
        rows = []
        for seed, drawn in self.full.items():
            row = [Panel([f"{FULL}, seed {seed}", f"{self.full_seconds:.2f} s"], drawn[0].frames)]
            if seed in self.cached:
                said = f"{self.cached_seconds:.2f} s, {self.speedup:.2f}x, "
                said += decibels(self.psnr_of(seed))
                row.append(Panel([self.choice.name, said], self.cached[seed][0].frames))
            rows.append(row)
        return rows

    def timing(self) -> str:
        """How the times were measured."""
        first = (
            f"after a warm-up of {self.warm_up} steps without the cache"
            if self.warm_up
            else "without a warm-up: the first run is slower than those that follow"
        )
        count = len(_seconds(self.cached))
        of = f"medians of {count} runs each" if count > 1 else "one run each"
        return f"Times: {of}, {first}; the device had finished."


def compare(
    source: Source,
    inputs: dict[str, Any],
    choice: Choice,
    seeds: Sequence[int],
    watch: Watch,
    repeats: int = 1,
    warm_up: int = 3,
    into: Compared | None = None,
) -> Compared:
    """Draw every seed without the cache, then with it, and all that so often.

    The pipeline is left as it was, whatever happens.

    Args:
        source: The pipeline, without a cache.
        inputs: What it is given.
        choice: The cache.
        seeds: Of the pictures.
        watch: Told of every run and step.
        repeats: How often.
        warm_up: Steps of a run before all others; 0: none.
        into: Where it goes as it is drawn, so that an interruption loses nothing.
    """
    found = Compared(choice, seeds, warm_up) if into is None else into
    if warm_up:
        watch.begin("warming up")
        draw(source, inputs | {"num_inference_steps": warm_up}, seeds[0], watch.step)
    for _ in range(repeats):
        for seed in seeds:
            watch.begin(f"{FULL}, seed {seed}")
            drawn = draw(source, inputs, seed, watch.step)
            found.full.setdefault(seed, []).append(drawn)
        with cache(source.pipeline, choice.config):
            for seed in seeds:
                watch.begin(f"{choice.name}, seed {seed}")
                drawn = draw(source, inputs, seed, watch.step)
                found.cached.setdefault(seed, []).append(drawn)
            found.summary = summary(source.pipeline)
    return found


def decibels(value: float) -> str:
    return "identical" if value == float("inf") else f"{value:.1f} dB"


def _seconds(runs: dict[int, list[Drawn]]) -> list[float]:
    return [drawn.seconds for each in runs.values() for drawn in each]


def _median(runs: dict[int, list[Drawn]]) -> float:
    return median(_seconds(runs))
