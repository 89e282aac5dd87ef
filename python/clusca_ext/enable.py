"""One line on, one line off."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn

from clusca_ext import checks, mixin
from clusca_ext.adapters import BlockAdapter, describe
from clusca_ext.cache import Cache
from clusca_ext.config import ClusCaConfig
from clusca_ext.runs.callers import ByFunction, Caller
from clusca_ext.runs.context import Context
from clusca_ext.runs.pipelines import Pipelines
from clusca_ext.runs.telling import of_bare, of_pipelines, part_of
from clusca_ext.summary import Summary, combine, summarize
from clusca_ext.targets import cache_of as cache_of
from clusca_ext.targets import caches_of, transformers_of

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
    process_group: Any = None,
) -> Target:
    """Cache the features of a model, or of a pipeline's transformer.

    Every call of the model is a step of one branch of guidance: the one that
    ``model.cache_context(name)`` around the call names, as diffusers' pipelines do; else what
    ``branch`` says; else the place of the call within a step of the pipeline's scheduler; of a bare
    model, the one whose conditions (all inputs but latents and timestep) it brings. Where none is
    named "cond", the first to call is taken for the conditional one. A bare model's run begins
    where the context's ``step_index`` says so; else where its timestep does not go on in the
    direction of the others, down or up, save that it may repeat once for a second-order step.

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
        process_group: Ranks of torch.distributed that share the samples or the model, and so must
            decide alike: a schedule that looks at data is told the largest change of all of them,
            which must call with as many samples. Those of diffusers' context parallelism do in any
            case.

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
    options = bool(adapter or rows or seeds or branch) or process_group is not None
    for transformer in transformers_of(model):
        present = Cache.of(transformer)
        if present is not None:
            _require_the_same(present, model, transformer, config, options)
            joined.append((present, transformer))
            continue
        checks.process_group(process_group)
        mixin.forget(transformer)  # what a copy of a cached model has of the cache
        if getattr(transformer, "is_cache_enabled", False):
            raise ValueError(
                f"{type(transformer).__name__} has a cache of diffusers: call its disable_cache "
                "first"
            )
        context = Context()
        if isinstance(model, nn.Module):
            runs, teller = of_bare(describe(transformer, adapter), timesteps, context)
            pipelines = pairs = None
        else:
            pipelines = Pipelines()
            pipelines.join(model, part_of(model, transformer))
            runs, teller, pairs = of_pipelines(pipelines, describe(transformer, adapter))
        made = Cache(
            partial(describe, transformer, adapter),
            config,
            runs,
            Caller(transformer, ByFunction(branch) if branch else teller, context, pipelines),
            pairs if pairs and not rows else lambda args, kwargs: rows,
            seeds,
            process_group,
        )
        caches.append(made)
    for each in caches:  # all of them or none
        each.install()
        mixin.record(each.description.model, config)
    for present, transformer in joined:
        assert present.pipelines is not None
        present.pipelines.join(model, part_of(model, transformer))
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


def disable_cache(model: Target) -> Target:
    """Remove the cache, restore the model and give all memory back.

    Raises:
        ValueError: There is no cache.
    """
    for each in caches_of(model):
        _remove(each)
    return model


def _remove(cache: Cache) -> None:
    model = cache.description.model
    if Cache.of(model) is cache:  # it may have another one by now
        mixin.forget(model)
    cache.remove()


@contextmanager
def cache(model: Target, config: ClusCaConfig | None = None, **options: Any) -> Iterator[Target]:
    """``enable_cache`` for the length of a ``with`` block.

    At its end other pipelines that share the cache keep it.

    Args:
        model: As of ``enable_cache``.
        config: As of ``enable_cache``.
        options: Its other arguments, by name.

    Raises:
        ValueError: As by ``enable_cache``.
    """
    enable_cache(model, config, **options)
    enabled = caches_of(model)
    try:
        yield model
    finally:
        for each in enabled:
            if each.pipelines is not None and each.pipelines.leave(model):
                each.restart()
            else:
                _remove(each)  # unless the block did it


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
