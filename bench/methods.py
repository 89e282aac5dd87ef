"""What a denoising loop is run with: no cache, ours, diffusers', cache-dit's, the paper's in torch.

A method is a context manager around a model that has it. Where one does not do for a model it
raises ``NotMeasured``, and the row says why.
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig

from clusca_ext import ClusCaConfig, EvenSchedule, IntervalSchedule, NoCorrection, cache, summary
from clusca_ext.schedule import Schedule, Step
from loop import Loop
from paper_cache import PaperCache, add_forecast, papers

Measured = dict[str, object]  # what a row says beside its times; filled in when a run is over
Method = Callable[[Loop, int], AbstractContextManager[Measured]]  # of a loop and its steps


class NotMeasured(Exception):
    """Why a row has no numbers."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A way to run the loop.

    Attributes:
        name: What results call it.
        steps: Steps of its loop.
        method: What the model has meanwhile.
        full: The steps on which all modules are computed, where that is known beforehand.
        is_last: It must come after all others: it leaves the model's forward exchanged.
    """

    name: str
    steps: int
    method: Method
    full: frozenset[int] = frozenset()
    is_last: bool = False


def full_steps(schedule: Schedule, steps: int) -> frozenset[int]:
    decide = schedule.start(steps)
    return frozenset(step for step in range(steps) if decide(Step(step, steps)))


@contextmanager
def no_cache(loop: Loop, steps: int) -> Iterator[Measured]:
    yield {}


def clusca(config: ClusCaConfig) -> Method:
    @contextmanager
    def method(loop: Loop, steps: int) -> Iterator[Measured]:
        measured: Measured = {}
        with cache(loop.model, config, timesteps=loop.timesteps(steps)):
            yield measured
            measured["cache_gib"] = round(summary(loop.model).cache_bytes / 2**30, 3)

    return method


def in_torch(config: ClusCaConfig, add: Callable[..., torch.Tensor]) -> Method:
    @contextmanager
    def method(loop: Loop, steps: int) -> Iterator[Measured]:
        measured: Measured = {}
        with papers(loop.model, PaperCache(config, steps, add)) as state:
            yield measured
            measured["cache_gib"] = round(state.bytes() / 2**30, 3)

    return method


def compiled() -> Callable[..., torch.Tensor]:
    """A graph for every number of factors and kind of stream: more than dynamo keeps by itself."""
    torch._dynamo.config.recompile_limit = 64
    return torch.compile(add_forecast, fullgraph=True)


def of_diffusers(settings: object) -> Method:
    @contextmanager
    def method(loop: Loop, steps: int) -> Iterator[Measured]:
        model = loop.model
        if not hasattr(model, "enable_cache"):
            raise NotMeasured(f"diffusers' {type(model).__name__} takes no caches")
        model.enable_cache(settings)
        try:
            yield {}
        finally:
            model.disable_cache()

    return method


def of_cache_dit(computed_blocks: int, full: frozenset[int]) -> Method:
    """DBCache with TaylorSeer: its first blocks always run, the others on full steps only."""

    @contextmanager
    def method(loop: Loop, steps: int) -> Iterator[Measured]:
        try:
            import cache_dit
        except ImportError as error:
            raise NotMeasured(f"cache-dit: {error}") from None
        settings = cache_dit.DBCacheConfig(
            Fn_compute_blocks=computed_blocks,
            Bn_compute_blocks=0,
            num_inference_steps=steps,
            # A threshold on residuals would decide anything about random weights.
            steps_computation_mask=[int(step in full) for step in range(steps)],
            steps_computation_policy="static",
        )
        taylor = cache_dit.TaylorSeerCalibratorConfig(taylorseer_order=1)
        version = f"cache-dit {cache_dit.__version__}"
        try:
            cache_dit.enable_cache(loop.model, cache_config=settings, calibrator_config=taylor)
            # Without a pipeline its steps go on counting from run to run.
            loop.begin = lambda: cache_dit.refresh_context(loop.model, cache_config=settings)
            yield {"version": cache_dit.__version__}
            forecast = {len(stats.cached_steps) for stats in cache_dit.summary(loop.model)}
            if forecast != {steps - len(full)}:
                raise NotMeasured(f"{version}: cached {forecast} steps, not {steps - len(full)}")
        except (NotMeasured, torch.OutOfMemoryError):
            raise
        except Exception as error:  # whatever it cannot do is not ours to mend
            raise NotMeasured(f"{version}: {type(error).__name__}: {error}") from error
        finally:
            loop.begin = None
            cache_dit.disable_cache(loop.model)

    return method


def baseline(steps: int) -> Row:
    return Row("no cache", steps, no_cache, frozenset(range(steps)))


def rows_of(paper: str, interval: int, steps: int, compiles: bool) -> Iterator[Row]:
    """All rows of an interval: as many full steps in each that takes a schedule.

    Args:
        paper: What ``ClusCaConfig.paper`` calls the model's family.
        interval: Of the schedule.
        steps: Of the loop.
        compiles: Also the paper's with its sums compiled, as its code has them.
    """
    even = EvenSchedule(interval=interval)
    full = full_steps(even, steps)
    yield Row("fewer steps", len(full), no_cache, frozenset(range(len(full))))
    forecast = ClusCaConfig(schedule=even, corrector=NoCorrection())
    yield Row("clusca, forecast only", steps, clusca(forecast), full)
    yield Row("clusca", steps, clusca(ClusCaConfig(schedule=even)), full)
    # The paper's settings, save that warm-up is as long as that of the others.
    by_interval = IntervalSchedule(interval=interval, warmup=even.warmup)
    theirs = dataclasses.replace(ClusCaConfig.paper(paper), schedule=by_interval)
    dense = full_steps(by_interval, steps)
    yield Row("clusca, the paper's", steps, clusca(theirs), dense)
    yield Row("the paper's, torch", steps, in_torch(theirs, add_forecast), dense)
    if compiles:
        yield Row("the paper's, torch, sums compiled", steps, in_torch(theirs, compiled()), dense)
    modules = [r".*\.attn", r".*\.ff", r".*\.proj_out"]
    taylor = TaylorSeerCacheConfig(cache_interval=interval, cache_identifiers=modules)
    yield Row("diffusers, TaylorSeer", steps, of_diffusers(taylor))
    first = FirstBlockCacheConfig(threshold=0.1)
    yield Row("diffusers, FirstBlockCache", steps, of_diffusers(first))
    for blocks in (8, 1):  # its default, and its fastest
        name = f"cache-dit, DBCache F{blocks}B0, TaylorSeer"
        yield Row(name, steps, of_cache_dit(blocks, full), full, is_last=True)
