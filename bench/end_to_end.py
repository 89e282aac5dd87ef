"""Denoising loops of real models with random weights: python bench/end_to_end.py [--models tiny]

The same loop without a cache, with fewer steps, with every cache of ours and with those of
diffusers, in one run. Rows go to bench/results/<machine>-end-to-end.json: the median of the loop,
of its full and of its cached steps, and peak memory on a GPU. Only the transformer runs.
"""

import argparse
import contextlib
import pathlib
import statistics
import time
from collections.abc import Iterator

import torch
from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig

from clusca_ext import ClusCaConfig, EvenSchedule, NoCorrection, cache, summary
from models import MODELS, Model, make
from results import FOLDER, Recorder, machine
from timing import DEVICE

Row = tuple[str, int, object]  # what it is called, steps of the loop, its cache


def rows_of(model: torch.nn.Module, interval: int, steps: int) -> Iterator[Row]:
    schedule = EvenSchedule(interval=interval)
    yield "fewer steps", len(schedule.full_steps(steps)), None
    yield "clusca, forecast only", steps, ClusCaConfig(schedule=schedule, corrector=NoCorrection())
    yield "clusca", steps, ClusCaConfig(schedule=schedule)
    if hasattr(model, "cache_context"):
        modules = [r".*\.attn", r".*\.ff", r".*\.proj_out"]
        yield (
            "diffusers, TaylorSeer",
            steps,
            TaylorSeerCacheConfig(cache_interval=interval, cache_identifiers=modules),
        )
        yield "diffusers, FirstBlockCache", steps, FirstBlockCacheConfig(threshold=0.1)


@contextlib.contextmanager
def enabled(model: torch.nn.Module, settings: object, times: list[float]) -> Iterator[None]:
    if settings is None:
        yield
    elif isinstance(settings, ClusCaConfig):
        with cache(model, settings, timesteps=times):
            yield
    else:
        model.enable_cache(settings)
        yield
        model.disable_cache()


class Loop:
    """A denoising loop without a pipeline: Euler steps from noise, on one set of inputs."""

    def __init__(self, described: Model, device: str, dtype: torch.dtype) -> None:
        self.scale, self.device, self.dtype = described.scale, device, dtype
        self.model = make(described, device, dtype)
        generator = torch.Generator(device).manual_seed(0)

        def random(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator, device=device, dtype=dtype)

        self.latents, self.inputs = random(*described.latents), described.inputs(random)

    def times(self, steps: int) -> list[float]:
        return [1000.0 * (1 - step / steps) * self.scale for step in range(steps)]

    @torch.inference_mode()
    def run(self, steps: int) -> float:
        """Seconds."""
        named = getattr(self.model, "cache_context", lambda name: contextlib.nullcontext())
        latents, start = self.latents, self.now()
        for value in self.times(steps):
            timestep = torch.full((len(latents),), value, device=self.device, dtype=self.dtype)
            with named("cond"):
                out = self.model(latents, timestep=timestep, return_dict=False, **self.inputs)[0]
            latents = latents - out[:, : latents.shape[1]] / steps
        return self.now() - start

    def now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def measure(loop: Loop, row: Row, repeats: int) -> dict[str, object]:
    _, steps, settings = row
    if loop.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    measured: dict[str, object] = {}
    with enabled(loop.model, settings, loop.times(steps)):
        loop.run(steps)  # warm up
        seconds = [loop.run(steps) for _ in range(repeats)]
        if isinstance(settings, ClusCaConfig):
            done = summary(loop.model)
            measured |= {f"{kind}_ms": round(s * 1e3, 3) for kind, s in done.seconds.items()}
            measured |= {"full": done.full, "cached": done.cached}
            measured["cache_gib"] = round(done.cache_bytes / 2**30, 3)
    if loop.device == "cuda":
        measured["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return {"seconds": round(statistics.median(seconds), 4), "steps": steps, **measured}


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
    for name in options.models:
        described = MODELS[name]
        loop = Loop(described, DEVICE, dtype)
        size = f"B{described.latents[0]} N{described.tokens}, {options.steps} steps"
        every: list[tuple[str, Row]] = [("", ("no cache", options.steps, None))]
        for interval in options.intervals:
            rows = rows_of(loop.model, interval, options.steps)
            every += [(f", interval {interval}", row) for row in rows]
        base = 0.0
        for where, row in every:
            measured = measure(loop, row, options.repeats)
            seconds = float(str(measured["seconds"]))
            base = base or seconds
            measured["speedup"] = round(base / seconds, 3)
            recorder.record(
                bench="end_to_end",
                shape=f"{name} {size}{where}",
                dtype=str(dtype).removeprefix("torch."),
                impl=row[0],
                **measured,
            )
            print(f"{name}{where}, {row[0]}: {measured}", flush=True)


if __name__ == "__main__":
    main()
