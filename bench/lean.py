"""What storages cost on the embedded model: python bench/lean.py [--samples 16] [--repeats 3]

Each storage, with and without clusters, in a run of DDIM's 50 steps that is broken off when its
third full step is over. Its second and third full step, and the mean of the cached ones between
them, are set against a full step of the untouched model, which runs before and after; a whole run
is composed of them. A round counts only if these two agree: else the machine was not quiet. Medians
over rounds go to bench/results/<machine>-lean.json as they come.
"""

import argparse
import contextlib
import dataclasses
import itertools
import pathlib
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    EvenSchedule,
    LeanStorage,
    NoCorrection,
    cache,
    estimate_memory,
    summary,
)
from clusca_ext.demo.allocator import keep_freed_memory
from clusca_ext.demo.flops import flops_ratio
from clusca_ext.demo.pipeline import NUM_CLASSES, DigitsPipeline, load_digits
from clusca_ext.demo.rows import Row
from clusca_ext.demo.run import Sampled
from clusca_ext.measuring.timing import DEVICE
from clusca_ext.summary import Summary
from loop_rows import full_steps
from results import FOLDER, Recorder, machine

STEPS, INTERVALS = 50, (5, 6)
STORAGES = {
    "per block": "per_block",
    "window": LeanStorage(basis="window"),
    "exact": LeanStorage(basis="exact"),
    "gated": LeanStorage(basis="gated"),
}
CORRECTORS = {"forecast only": NoCorrection(), "clusters": ClusterCorrector()}
RATIOS = ("cached_step", "full_overhead", "speedup")
QUIET = 1.05  # how far the untouched model's times beside a row may lie apart, as a ratio


class Over(Exception):
    """Enough steps have been seen."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """Seconds of a full and of a cached step, and what the cache said of itself."""

    full: float
    cached: float = 0.0
    summary: Summary | None = None


def configs(interval: int) -> dict[str, ClusCaConfig]:
    """Every row of an interval."""
    schedule = EvenSchedule(interval=interval)
    return {
        f"{storage}, {corrector}": ClusCaConfig(
            schedule=schedule, storage=STORAGES[storage], corrector=CORRECTORS[corrector]
        )
        for storage in STORAGES
        for corrector in CORRECTORS
    }


def first_steps(
    pipeline: DigitsPipeline,
    labels: list[int],
    count: int,
    at_end: Callable[[], Summary | None] = lambda: None,
) -> tuple[list[float], Summary | None]:
    """Seconds of the first steps of a run, and what is said after the last of them."""
    marks: list[float] = []
    said: Summary | None = None

    def on_step(step: int, images: torch.Tensor) -> None:
        nonlocal said
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        marks.append(time.perf_counter())
        if len(marks) > count:
            said = at_end()
            raise Over

    marks.append(time.perf_counter())
    with contextlib.suppress(Over):
        pipeline(labels, num_inference_steps=STEPS, on_step=on_step)
    return [stop - start for start, stop in itertools.pairwise(marks)], said


def untouched(pipeline: DigitsPipeline, labels: list[int]) -> Seen:
    seconds, _ = first_steps(pipeline, labels, 4)
    return Seen(statistics.median(seconds[1:]))


def cached(pipeline: DigitsPipeline, labels: list[int], config: ClusCaConfig) -> Seen:
    """Of the second and third full step and the cached ones between: the first makes room."""
    _, second, third, *_ = sorted(full_steps(config.schedule, STEPS))
    with cache(pipeline, config):
        seconds, said = first_steps(pipeline, labels, third + 1, lambda: summary(pipeline))
    assert said is not None and (said.full, said.cached) == (3, third - 2), said
    full = statistics.mean([seconds[second], seconds[third]])
    return Seen(full, statistics.mean(seconds[second + 1 : third]), said)


def ratios(config: ClusCaConfig, seen: Seen, base: Seen) -> dict[str, float]:
    """Of one round, against the untouched model's full step."""
    full = len(full_steps(config.schedule, STEPS))
    seconds = full * seen.full + (STEPS - full) * seen.cached
    values = seen.cached / base.full, seen.full / base.full - 1, STEPS * base.full / seconds
    return dict(zip(RATIOS, values, strict=True))


def row_of(
    pipeline: DigitsPipeline, samples: int, config: ClusCaConfig, rounds: list[tuple[Seen, Seen]]
) -> dict[str, object]:
    """A row as JSON holds it."""
    measured = [ratios(config, *each) for each in rounds]
    found = {key: round(statistics.median(one[key] for one in measured), 4) for key in RATIOS}
    full, said = len(full_steps(config.schedule, STEPS)), rounds[0][0].summary
    assert said is not None
    fits = full if said.clusterings else 0
    whole = dataclasses.replace(said, steps=STEPS, full=full, cached=STEPS - full, clusterings=fits)
    # Operations are in proportion to samples: two are enough.
    few = Sampled(Row("", 0, STEPS, config), [0, 1], torch.empty(0), 0.0, whole)
    shape = (2 * samples, 1, *[pipeline.transformer.config.sample_size] * 2)
    memory = estimate_memory(pipeline, shape, config, num_steps=STEPS)
    return {
        **found,
        "counted_speedup": round(flops_ratio(pipeline, few), 3),
        "full": full,
        "cached": STEPS - full,
        "cache_mib": round(said.cache_bytes / 2**20, 2),
        "estimated_mib": round(memory.total / 2**20, 2),
        "storage": said.storage,
        "rounds": len(rounds),
    }


def base_of(before: Seen, after: Seen) -> Seen | None:
    """The untouched model's full step beside a measurement; None: it was not quiet meanwhile."""
    seconds = before.full, after.full
    return Seen(statistics.mean(seconds)) if max(seconds) <= QUIET * min(seconds) else None


def rounds_of(
    base: Callable[[], Seen], measure: Callable[[], Seen], count: int, tries: int
) -> list[tuple[Seen, Seen]]:
    """Quiet measurements of a row, each between two of the untouched model.

    Fewer than ``count`` where ``tries`` did not find them: the machine was busy.
    """
    rounds: list[tuple[Seen, Seen]] = []
    before = base()
    for _ in range(tries):
        if len(rounds) == count:
            break
        seen, after = measure(), base()
        beside = base_of(before, after)
        if beside is not None:
            rounds.append((seen, beside))
        before = after
    return rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tries", type=int, default=12, help="for as many quiet ones")
    parser.add_argument("--results", type=pathlib.Path)
    options = parser.parse_args()
    keep_freed_memory()
    pipeline = load_digits().to(DEVICE)
    pipeline.set_progress_bar_config(disable=True)
    labels = [i % NUM_CLASSES for i in range(options.samples)]
    recorder = Recorder(options.results or FOLDER / f"{machine()}-lean.json")
    shape = f"digits-demo B{options.samples} N256 D128, DDIM {STEPS} steps, interval"
    base = partial(untouched, pipeline, labels)
    base()
    for interval in INTERVALS:
        for name, config in configs(interval).items():
            measure = partial(cached, pipeline, labels, config)
            rounds = rounds_of(base, measure, options.repeats, options.tries)
            if len(rounds) < options.repeats:
                print(f"interval {interval}, {name}: no row, the machine was not quiet", flush=True)
                continue
            row = row_of(pipeline, options.samples, config, rounds)
            row["threads"] = torch.get_num_threads()
            recorder.record(
                bench="lean", shape=f"{shape} {interval}", dtype="float32", impl=name, **row
            )
            print(f"interval {interval}, {name}: {row}", flush=True)


if __name__ == "__main__":
    main()
