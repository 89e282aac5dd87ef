"""One line on, one line off."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import Tensor, nn

from clusca_ext.adapters import BlockAdapter, describe
from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.branch import Caller
from clusca_ext.cache import Cache
from clusca_ext.config import ClusCaConfig
from clusca_ext.runs import KnownTimesteps, PipelineRuns, RisingTimestep, Runs
from clusca_ext.summary import Summary, summarize

Target = TypeVar("Target")


def enable_cache(
    model: Target,
    config: ClusCaConfig | None = None,
    *,
    adapter: BlockAdapter | None = None,
    cfg_rows: Sequence[str] = (),
    timesteps: Sequence[float] | Tensor | None = None,
    seeds: Sequence[int] | None = None,
) -> Target:
    """Cache the features of a model, or of a pipeline's transformer.

    Every call of the model is a step of one branch of guidance: the one that
    ``model.cache_context(name)`` around the call names, as diffusers' pipelines do, else the place
    of the call within a step of the pipeline's scheduler. Separate calls of a bare model without
    such a context are refused where they are seen. A bare model's run begins where its timestep
    does not descend, save that it may repeat once for a second-order step.

    Args:
        model: A model (compiled or not) or a diffusers pipeline.
        config: What to do; default: ``ClusCaConfig()``.
        adapter: Describes the blocks of a model that clusca_ext does not know.
        cfg_rows: How the batch rows of a bare model pair up under guidance: the names of equal,
            contiguous groups, such as ``("cond", "uncond")``. A pipeline's are known.
        timesteps: The timesteps of a run of a bare model, one for each call: the cache then knows
            its length. They may ascend, as in flow matching. A pipeline's are known.
        seeds: A seed for each sample, for choices that do not depend on its place in a batch;
            default: ``config.seed`` for all.

    Returns:
        ``model``.

    Raises:
        ValueError: The model is not supported, has a cache already, or an argument does not fit.
    """
    config = ClusCaConfig() if config is None else config
    if not isinstance(config, ClusCaConfig):
        raise ValueError(f"config must be a ClusCaConfig, got {type(config).__name__}")
    transformer = _transformer(model)
    if Cache.of(transformer) is not None:
        raise ValueError(
            f"{type(transformer).__name__} has a cache already: call disable_cache first"
        )
    description = describe(transformer, adapter)

    def again() -> ModelDescription:
        return describe(transformer, adapter)

    rows = tuple(cfg_rows)
    if rows and "cond" not in rows:
        raise ValueError(f'cfg_rows must name a group "cond", got {list(cfg_rows)}')
    if isinstance(model, nn.Module):
        bare = _bare_runs(description, timesteps)
        Cache(again, config, bare, Caller(transformer), lambda *_: rows, seeds).install()
        return model
    if timesteps is not None:
        raise ValueError("timesteps are a pipeline's own, got some beside a pipeline")
    pipeline = weakref.ref(model)

    def pairs(args: Args, kwargs: Kwargs) -> tuple[str, ...]:
        found = description.pairs
        return rows or (() if found is None else found(pipeline(), args, kwargs))

    def runs() -> Runs:
        return PipelineRuns(pipeline, description)

    Cache(again, config, runs, Caller(transformer, pipeline), pairs, seeds).install()
    return model


def disable_cache(model: Target) -> Target:
    """Remove the cache and restore the model.

    Raises:
        ValueError: There is no cache.
    """
    cache_of(model).remove()
    return model


@contextmanager
def cache(model: Target, config: ClusCaConfig | None = None, **options: Any) -> Iterator[Target]:
    """``enable_cache`` for the length of a ``with`` block."""
    enable_cache(model, config, **options)
    enabled = cache_of(model)
    try:
        yield model
    finally:
        enabled.remove()  # unless the block did it


def reset(model: object) -> None:
    """Drop all cached features: the next call of the model begins a new run.

    Raises:
        ValueError: There is no cache.
    """
    cache_of(model).restart()


def summary(model: object) -> Summary:
    """What the cache did in its last run.

    Raises:
        ValueError: There is no cache.
    """
    return summarize(cache_of(model))


def _transformer(model: object) -> nn.Module:
    """The module that holds the blocks: a pipeline's transformer, a compiled model's original."""
    if not isinstance(model, nn.Module):
        found = getattr(model, "transformer", None)
        if not isinstance(found, nn.Module):
            raise ValueError(
                "model must be a torch.nn.Module or a pipeline with a transformer, got "
                f"{type(model).__name__}"
            )
        model = found
    original: nn.Module = getattr(model, "_orig_mod", model)
    return original


def cache_of(model: object) -> Cache:
    transformer = _transformer(model)
    found = Cache.of(transformer)
    if found is None:
        raise ValueError(f"{type(transformer).__name__} has no cache: call enable_cache first")
    return found


def _bare_runs(
    description: ModelDescription, timesteps: Sequence[float] | Tensor | None
) -> Callable[[], Runs]:
    if timesteps is not None:
        return lambda: KnownTimesteps(timesteps, description)
    if description.timestep is not None:
        return lambda: RisingTimestep(description)
    raise ValueError(
        "the cache cannot tell where a run begins: give timesteps to enable_cache, or name the "
        "timestep of the model in its BlockAdapter"
    )
