"""Denoising loops of real models with random weights: python bench/end_to_end.py [--models tiny]

The same loop with every method of loop_rows.py, in one run: ours, without a cache, with fewer
steps, with the paper's step in plain torch, with the caches of diffusers and, where it is
installed, of cache-dit. Rows go to bench/results/<machine>-end-to-end.json: the median of the loop
and of its full steps, the mean of its cached ones, for the first of an interval may prepare the
others; on a GPU also peak memory, how many kernels a cached step of an interval has in the mean and
how long they run, and how long the last one takes in a CUDA graph. Of ours also what was expected:
``estimate_memory``'s bytes, and the speed-up that counted operations promise. A row without numbers
says why. Only the transformer runs.
"""

import argparse
import contextlib
import gc
import pathlib
import statistics
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import torch

from clusca_ext import ClusterCorrector, estimate_memory
from clusca_ext.measuring.models import MODELS, Model
from clusca_ext.measuring.operations import operations
from clusca_ext.measuring.timing import DEVICE
from device_time import counted, graphed, recover
from loop import Loop
from loop_rows import BASELINE, COMPOSED_FULL, Row, baseline, composed_rows, rows_of
from methods import Measured
from results import FOLDER, NotMeasured, Recorder, machine


def measure(loop: Loop, row: Row, repeats: int) -> Measured:
    described = loop.described
    if loop.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with row.method(loop, row.steps) as said:
        if not described.is_composed:  # its medians do without
            loop.run(row.steps, until=row.warmup if described.is_slow else None)
        seconds = [loop.run(row.steps) for _ in range(1 if described.is_composed else repeats)]
        measured = {"steps": row.steps, "seconds": round(statistics.median(seconds), 4), **said()}
        full = frozenset(loop.full)
        measured |= {"full": len(full), "cached": row.steps - len(full)}
        for kind, each in loop.times.seconds().items():
            middle = statistics.mean if kind == "cached" else statistics.median
            measured[f"{kind}_ms"] = round(middle(each) * 1e3, 3)
        measured |= doubts(row, full, measured)
        if loop.device == "cuda":
            measured["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
            if row.cached and not described.is_composed:
                measured |= of_device(loop, row)
    return measured


def doubts(row: Row, full: frozenset[int], measured: Measured) -> Measured:
    """What forbids to set a row beside the others, though it has numbers."""
    if full != row.full:
        found, given = len(full), len(row.full)
        return {"failed": True, "doubt": f"other full steps than given: {found}, not {given}"}
    config = row.config
    if config is None:
        return {}
    storage, planned = str(measured["storage"]), int(str(measured["planned"]))
    is_lean = config.storage != "per_block"
    if is_lean and getattr(config.storage, "basis", "auto") == "auto" and "window" not in storage:
        return {"failed": True, "doubt": f"no window of gates that are known: {storage}"}
    # A cached step of lean storage asks for modulation only where it computes representatives.
    asks = not is_lean or isinstance(config.corrector, ClusterCorrector)
    if asks and 2 * planned < len(row.cached):
        doubt = f"modulation was planned for {planned} of {len(row.cached)} cached steps"
        return {"failed": True, "doubt": doubt}
    return {}


def of_device(loop: Loop, row: Row) -> Measured:
    """Of the cached steps of one interval. The times of the loop stand, whatever happens here."""
    middle = row.steady if loop.described.is_slow else row.cached[len(row.cached) // 2]
    steps = row.interval(middle)
    measured: Measured = {}
    try:
        found: list[tuple[int, float]] = []
        loop.run(row.steps, until=steps.stop, at=steps, how=lambda: counted(loop, found))
        kernels, milliseconds = (statistics.mean(each) for each in zip(*found, strict=True))
        measured |= {"cached_kernels": round(kernels, 1)}
        measured |= {"cached_kernels_ms": round(milliseconds, 3)}
    except (RuntimeError, AssertionError) as error:
        measured["no_kernels"] = first_line(error)
    if not row.is_graphed:
        return measured | {"no_graph": "it asks the host at every step"}
    try:
        last = steps[-1:]
        loop.run(row.steps, until=steps.stop, at=last, how=lambda: graphed(loop, measured))
    except (RuntimeError, AssertionError) as error:
        measured["no_graph"] = first_line(error)
        with contextlib.suppress(Exception):
            recover()
    return measured


def first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def outcome(loop: Loop, row: Row, repeats: int) -> Measured:
    """What was measured or, that the rows after it may be, why it was not."""
    try:
        return measure(loop, row, repeats)
    except NotMeasured as reason:
        return {"note": f"not measured: {reason}"}
    except torch.OutOfMemoryError as error:
        return {"note": f"does not fit: {'. '.join(str(error).split('. ')[:2])}"}
    except Exception as error:
        traceback.print_exc()
        return {"note": f"not measured: {type(error).__name__}: {error}", "failed": True}
    finally:
        gc.collect()
        if loop.device == "cuda":
            torch.cuda.empty_cache()  # what one row leaves in pieces may be what another needs


def rows(loop: Loop, intervals: list[int], steps: int) -> Iterator[tuple[int | None, Row]]:
    """Every row and its interval, in the order of what they are worth."""
    described, compiles = loop.described, loop.device == "cuda"
    if described.is_composed:  # the same rows are composed to every interval
        yield None, baseline(len(COMPOSED_FULL))
        yield from ((None, row) for row in composed_rows(described))
        return
    yield None, baseline(steps)
    every = [
        (interval, row)
        for interval in intervals
        for row in rows_of(described, interval, steps, compiles)
    ]
    yield from sorted(every, key=lambda each: each[1].is_last)


def composed(measured: Measured, row: Row) -> Measured:
    """A loop of the full and cached steps of ``row``, of the medians measured."""
    counts = {"full": len(row.full), "cached": len(row.cached)}
    if "seconds" not in measured or any(n and f"{k}_ms" not in measured for k, n in counts.items()):
        return measured
    seconds = sum(n * float(str(measured[f"{k}_ms"])) for k, n in counts.items() if n) / 1e3
    of = f"{measured['full']} full and {measured['cached']} cached steps"
    made = {"composed_of": of, "steps": row.steps, "seconds": round(seconds, 4)}
    return measured | made | counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["flux-1024", "dit-xl-512"])
    parser.add_argument("--intervals", nargs="+", type=int, default=[6, 5, 7, 4])
    parser.add_argument("--rows", nargs="+", default=[""], help="those whose name has one of these")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=pathlib.Path)
    options = parser.parse_args()
    recorder = Recorder(options.results or FOLDER / f"{machine()}-end-to-end.json")
    all_well = [table(name, options, recorder.record) for name in options.models]
    sys.exit(0 if all(all_well) else 1)


def table(name: str, options: argparse.Namespace, record: Callable[..., None]) -> bool:
    """Every row of a model, recorded as soon as it is measured. Whether none failed."""
    dtype = torch.bfloat16 if DEVICE == "cuda" else torch.float32
    loop = Loop(MODELS[name], DEVICE, dtype)
    base: Measured = {}
    well = True
    for interval, row in rows(loop, options.intervals, options.steps):
        if row.name != BASELINE and not any(name in row.name for name in options.rows):
            continue
        measured = outcome(loop, row, options.repeats)
        well &= "failed" not in measured
        for at, values in recorded(loop.described, row, interval, measured, options).items():
            if row.name == BASELINE:
                base = values
            values = values | beside(base, row, values) | expected(loop, name, row, values)
            where = f", interval {at}" if at else ""
            record(
                bench="end_to_end",
                shape=f"{name} {loop.described.size}, {options.steps} steps{where}",
                dtype=str(dtype).removeprefix("torch."),
                impl=row.name,
                **values,
            )
            print(f"{name}{where}, {row.name}: {values}", flush=True)
    return well


def beside(base: Measured, row: Row, values: Measured) -> Measured:
    """What a row takes, beside the untouched model in the same run."""

    def over_base(key: str) -> float | None:
        both = values.get(key), base.get(key)
        return float(str(both[0])) / float(str(both[1])) if all(both) else None

    seconds, full = over_base("seconds"), over_base("full_ms")
    ratios: Measured = {} if seconds is None else {"speedup": round(1 / seconds, 3)}
    if full is not None and row.cached:
        ratios["full_overhead"] = round(full - 1, 4)
    return ratios


def expected(loop: Loop, name: str, row: Row, values: Measured) -> Measured:
    """What ours should take, whether it fits or not, and how much faster it should be."""
    if row.config is None:
        return {}
    shape, kwargs = loop.described.latents, {"num_steps": row.steps, "dtype": loop.dtype}
    memory = estimate_memory(loop.model, shape, row.config, **kwargs)
    found: Measured = {"estimated_gib": round(memory.total / 2**30, 6)}
    if "host" in memory.parts:
        found["estimated_host_gib"] = round(memory.parts["host"] / 2**30, 6)
    if "seconds" in values:
        counts = int(str(values["full"])), int(str(values["cached"]))
        found["counted_speedup"] = round(operations(name).speedup(row.config, *counts), 3)
    return found


def recorded(
    described: Model, row: Row, interval: int | None, measured: Measured, options: Any
) -> dict[int | None, Measured]:
    """What is recorded of a row, by interval: itself or, of a composed loop, what it makes."""
    if not described.is_composed:
        return {interval: measured}
    if not row.cached:
        return {None: composed(measured, baseline(options.steps))}
    like = {n: next(rows_of(described, n, options.steps, False)) for n in options.intervals}
    return {n: composed(measured, each) for n, each in like.items()}


if __name__ == "__main__":
    main()
