"""Denoising loops of real models with random weights: python bench/end_to_end.py [--models tiny]

The same loop with every method of methods.py, in one run: without a cache, with fewer steps, with
ours, with the paper's step in plain torch, with those of diffusers and of cache-dit where it is
installed. Rows go to bench/results/<machine>-end-to-end.json: the median of the loop, of its full
and of its cached steps; on a GPU also peak memory, and how many kernels one cached step has and how
long they run. A row without numbers says why. Only the transformer runs.
"""

import argparse
import pathlib
import statistics
import sys
import traceback

import torch

from loop import Loop
from methods import NotMeasured, Row, baseline, rows_of
from models import MODELS
from results import FOLDER, Recorder, machine
from timing import DEVICE


def measure(loop: Loop, row: Row, repeats: int) -> dict[str, object]:
    if loop.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    measured: dict[str, object] = {"steps": row.steps}
    with row.method(loop, row.steps) as said:
        loop.run(row.steps, row.full)  # warm up
        seconds = [loop.run(row.steps, row.full) for _ in range(repeats)]
        measured["seconds"] = round(statistics.median(seconds), 4)
        cached = sorted(set(range(row.steps)) - row.full)
        if row.full:
            measured |= {"full": len(row.full), "cached": len(cached)}
            for kind, each in loop.times.seconds().items():
                measured[f"{kind}_ms"] = round(statistics.median(each) * 1e3, 3)
        if loop.device == "cuda":
            measured["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
            if row.full and cached:
                measured |= kernels(loop, row, cached[len(cached) // 2])
    return measured | said


def kernels(loop: Loop, row: Row, step: int) -> dict[str, object]:
    try:
        loop.run(row.steps, row.full, profiled=step)
    except (RuntimeError, AssertionError) as error:  # it may not be able to: times stand
        return {"note": f"kernels not measured: {error}"}
    return {"cached_kernels": loop.kernels, "cached_kernels_ms": round(loop.kernels_ms, 3)}


def outcome(loop: Loop, row: Row, repeats: int) -> dict[str, object]:
    """What was measured or, that the rows after it may be, why it was not."""
    try:
        return measure(loop, row, repeats)
    except (NotMeasured, torch.OutOfMemoryError) as reason:
        return {"note": f"not measured: {reason}"}
    except Exception as error:
        traceback.print_exc()
        return {"note": f"not measured: {type(error).__name__}: {error}", "failed": True}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["flux-1024", "dit-xl-512"])
    parser.add_argument("--intervals", nargs="+", type=int, default=[5, 7])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=pathlib.Path)
    options = parser.parse_args()
    dtype = torch.bfloat16 if DEVICE == "cuda" else torch.float32
    recorder = Recorder(options.results or FOLDER / f"{machine()}-end-to-end.json")
    failed = False
    for name in options.models:
        described = MODELS[name]
        loop = Loop(described, DEVICE, dtype)
        every = [("", baseline(options.steps))]
        for interval in options.intervals:
            rows = rows_of(described.paper, interval, options.steps, compiles=DEVICE == "cuda")
            every += [(f", interval {interval}", row) for row in rows]
        every.sort(key=lambda each: each[1].is_last)
        base = 0.0
        for where, row in every:
            measured = outcome(loop, row, options.repeats)
            seconds = float(str(measured.get("seconds", 0.0)))
            base = base or seconds
            if seconds:
                measured["speedup"] = round(base / seconds, 3)
            failed |= "failed" in measured
            recorder.record(
                bench="end_to_end",
                shape=f"{name} {described.size}, {options.steps} steps{where}",
                dtype=str(dtype).removeprefix("torch."),
                impl=row.name,
                **measured,
            )
            print(f"{name}{where}, {row.name}: {measured}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
