"""One line on, one line off."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn

from clusca_ext import checks, mixin
from clusca_ext.adapters import BlockAdapter, describe, supported
from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.cache import Cache, Rows
from clusca_ext.callers import ByFunction, ByScheduler, Caller, Teller
from clusca_ext.conditions import ByConditions
from clusca_ext.config import ClusCaConfig
from clusca_ext.pipelines import Part, Pipelines
from clusca_ext.runs import KnownTimesteps, PipelineRuns, RisingTimestep, Runs
from clusca_ext.summary import Summary, combine, summarize

Target = TypeVar("Target")


def enable_cache(
    model: Target,
    config: ClusCaConfig | None = None,
    *,
    adapter: BlockAdapter | None = None,
    cfg_rows: Sequence[str] = (),
    timesteps: Sequence[float] | Tensor | None = None,
    seeds: Sequence[int] | None = None,
    branch: Callable[..., str] | None = None,
) -> Target:
    """Cache the features of a model, or of a pipeline's transformer.

    Every call of the model is a step of one branch of guidance: the one that
    ``model.cache_context(name)`` around the call names, as diffusers' pipelines do; else what
    ``branch`` says; else the place of the call within a step of the pipeline's scheduler; of a bare
    model, the one whose conditions (all inputs but latents and timestep) it brings. Where none is
    named "cond", the first to call is taken for the conditional one. A bare model's run begins
    where its timestep does not descend, save that it may repeat once for a second-order step.

    Pipelines that share a transformer share its cache: enable it on each, with the same config.
    ``disable_cache`` on any of them removes it.

    Args:
        model: A model (compiled or not) or a diffusers pipeline, of which all transformers are
            cached: each counts the steps it is called for.
        config: What to do; default: ``ClusCaConfig()``.
        adapter: Describes the blocks of a model that clusca_ext does not know.
        cfg_rows: How the batch rows of a bare model pair up under guidance: the names of equal,
            contiguous groups, such as ``("cond", "uncond")``. A pipeline's are known.
        timesteps: The timesteps of a run of a bare model, one for each call: the cache then knows
            its length. They may ascend, as in flow matching. A pipeline's are known.
        seeds: A seed for each sample, for choices that do not depend on its place in a batch;
            default: ``config.seed`` for all.
        branch: Given the model's inputs, returns the name of the branch of guidance that calls,
            ``"cond"`` for the conditional one.

    Returns:
        ``model``.

    Raises:
        ValueError: The model is not supported, has a cache already that cannot be shared, or an
            argument does not fit.
    """
    config = ClusCaConfig() if config is None else config
    if not isinstance(config, ClusCaConfig):
        raise ValueError(f"config must be a ClusCaConfig, got {type(config).__name__}")
    rows, seeds = checks.row_groups(cfg_rows), checks.sample_seeds(seeds)
    checks.function("branch", branch)
    if timesteps is not None and not isinstance(model, nn.Module):
        raise ValueError("timesteps are a pipeline's own, got some beside a pipeline")
    caches, joined = [], []
    options = bool(adapter or rows or seeds or branch)
    for transformer in _transformers(model):
        present = Cache.of(transformer)
        if present is not None:
            _require_the_same(present, model, transformer, config, options)
            joined.append((present, transformer))
            continue
        if getattr(transformer, "is_cache_enabled", False):
            raise ValueError(
                f"{type(transformer).__name__} has a cache of diffusers: call its disable_cache "
                "first"
            )
        if isinstance(model, nn.Module):
            runs, teller = _of_bare(describe(transformer, adapter), timesteps)
            pipelines = pairs = None
        else:
            pipelines = Pipelines()
            pipelines.join(model, _part_of(model, transformer))
            runs, teller, pairs = _of_pipelines(pipelines, describe(transformer, adapter))
        caches.append(
            Cache(
                partial(describe, transformer, adapter),
                config,
                runs,
                Caller(transformer, ByFunction(branch) if branch else teller, pipelines),
                pairs if pairs and not rows else lambda args, kwargs: rows,
                seeds,
            )
        )
    for each in caches:  # all of them or none
        each.install()
    for present, transformer in joined:
        assert present.pipelines is not None
        present.pipelines.join(model, _part_of(model, transformer))
    return model


def _require_the_same(
    present: Cache, model: object, transformer: nn.Module, config: ClusCaConfig, options: bool
) -> None:
    """A second pipeline may join a cache, as it is."""
    name, pipelines = type(transformer).__name__, present.pipelines
    if isinstance(model, nn.Module) or pipelines is None or model in pipelines:
        raise ValueError(f"{name} has a cache already: call disable_cache first")
    if config != present.config or options:
        raise ValueError(
            f"{name} has a cache already, another pipeline's: give the same config and no other "
            "arguments to share it, or call disable_cache first"
        )


def _of_pipelines(
    pipelines: Pipelines, description: ModelDescription
) -> tuple[Callable[[], Runs], Teller, Rows]:
    """How the runs, branches and paired rows of pipelines that share a model are told."""

    def pairs(args: Args, kwargs: Kwargs) -> tuple[str, ...]:
        found = description.pairs
        return () if found is None else found(pipelines.only(), args, kwargs)

    teller = ByScheduler(pipelines, otherwise=ByConditions(description))
    return lambda: PipelineRuns(pipelines, description), teller, pairs


def _part_of(pipeline: Any, transformer: nn.Module) -> Part:
    """Which timesteps are a transformer's: of Wan 2.2's two, each has one side of a boundary."""
    ratio = getattr(getattr(pipeline, "config", None), "boundary_ratio", None)
    if ratio is None:
        return lambda timesteps: timesteps
    boundary = ratio * pipeline.scheduler.config.num_train_timesteps
    if transformer is _original(getattr(pipeline, "transformer_2", None)):
        return lambda timesteps: timesteps[timesteps < boundary]
    return lambda timesteps: timesteps[timesteps >= boundary]


def disable_cache(model: Target) -> Target:
    """Remove the cache and restore the model.

    Raises:
        ValueError: There is no cache.
    """
    for each in caches_of(model):
        each.remove()
        mixin.forget(each.description.model)
    return model


@contextmanager
def cache(model: Target, config: ClusCaConfig | None = None, **options: Any) -> Iterator[Target]:
    """``enable_cache`` for the length of a ``with`` block."""
    enable_cache(model, config, **options)
    enabled = caches_of(model)
    try:
        yield model
    finally:
        for each in enabled:
            each.remove()  # unless the block did it


def reset(model: object) -> None:
    """Drop all cached features: the next call of the model begins a new run.

    Raises:
        ValueError: There is no cache.
    """
    for each in caches_of(model):
        each.restart()


def summary(model: object) -> Summary:
    """What the cache did in its last run; the caches of a pipeline's two transformers together.

    Raises:
        ValueError: There is no cache.
    """
    return combine([summarize(each) for each in caches_of(model)])


def _original(model: Any) -> Any:
    return getattr(model, "_orig_mod", model)


def _transformers(model: object) -> list[nn.Module]:
    """The modules that hold the blocks: a pipeline's, a compiled model's original."""
    if isinstance(model, nn.Module):
        return [_original(model)]
    names = ("transformer", "transformer_2")
    found = [_original(getattr(model, name, None)) for name in names]
    found = [each for each in found if isinstance(each, nn.Module)]
    if not found:
        raise ValueError(
            "model must be a torch.nn.Module or a pipeline with a transformer, got "
            f"{type(model).__name__}: clusca_ext knows {', '.join(supported())}, and any model "
            "whose blocks a BlockAdapter describes"
        )
    return found


def caches_of(model: object) -> list[Cache]:
    found = [Cache.of(transformer) for transformer in _transformers(model)]
    caches = [cache for cache in found if cache is not None]
    if not caches:
        name = type(_transformers(model)[0]).__name__
        raise ValueError(f"{name} has no cache: call enable_cache first")
    return caches


def cache_of(model: object) -> Cache:
    return caches_of(model)[0]


def _of_bare(
    description: ModelDescription, timesteps: Sequence[float] | Tensor | None
) -> tuple[Callable[[], Runs], Teller]:
    """How a bare model's runs and branches are told."""
    if timesteps is not None:
        first = KnownTimesteps(timesteps, description)
        teller = ByConditions(description, ascending=first.ascend)
        return lambda: KnownTimesteps(timesteps, description), teller
    if description.timestep is not None:
        return lambda: RisingTimestep(description), ByConditions(description)
    raise ValueError(
        "the cache cannot tell where a run begins: give timesteps to enable_cache, or name the "
        "timestep of the model in its BlockAdapter"
    )
