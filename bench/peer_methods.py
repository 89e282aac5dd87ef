"""The caches of diffusers and of cache-dit, as ``methods.py`` has ours."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig
from diffusers.hooks import HookRegistry, apply_first_block_cache, apply_taylorseer_cache

from loop import Loop
from methods import Measured, Method, Said, begun_by
from results import NotMeasured

HOOKS = ("taylorseer_cache", "fbc_leader_block_hook", "fbc_block_hook")  # diffusers' names
# Every module whose output flows into the stream is forecast, and those before it are skipped:
# the fastest that keeps the blocks. Its default forecasts attention only and computes the MLPs.
FORECAST = [
    r"transformer_blocks\.\d+\.(attn1?|ff|ff_context)",
    r"single_transformer_blocks\.\d+\.proj_out",
    r"blocks\.\d+\.(attn[12]|ffn)",
]
SKIPPED = [r"single_transformer_blocks\.\d+\.(attn|proj_mlp)"]


def taylorseer_steps(before: int, interval: int, steps: int) -> frozenset[int]:
    """Full steps of diffusers' TaylorSeer: the first ``before`` ones, then, one left out, every
    ``interval``-th."""
    return frozenset(
        step for step in range(steps) if step < before or (step - before - 1) % interval == 0
    )


def taylorseer(before: int, interval: int, **choices: Any) -> Method:
    """Order 1, factors in bfloat16: its defaults."""
    config = TaylorSeerCacheConfig(interval, disable_cache_before_step=before, **choices)

    @contextmanager
    def method(loop: Loop, steps: int) -> Iterator[Said]:
        name = type(loop.model).__name__
        if config.use_lite_mode and not hasattr(loop.model, "proj_out"):
            raise NotMeasured(f"diffusers' lite mode forecasts proj_out, which {name} has not")
        with _hooked(loop, lambda: apply_taylorseer_cache(loop.model, config)) as hooks:
            if not hooks:
                raise NotMeasured(f"diffusers' TaylorSeer finds none of its modules in {name}")
            yield dict

    return method


def first_block_cache(full: frozenset[int]) -> Method:
    """It decides as it does, and is then told the step's kind: a threshold on residuals would
    measure chance with random weights."""

    @contextmanager
    def method(loop: Loop, steps: int) -> Iterator[Said]:
        config = FirstBlockCacheConfig()
        with _hooked(loop, lambda: apply_first_block_cache(loop.model, config)) as hooks:
            (head,) = (hook for hook in hooks if hasattr(hook, "_should_compute_remaining_blocks"))
            decide = head._should_compute_remaining_blocks

            def told(residual: torch.Tensor) -> bool:
                decide(residual)
                return loop.step in full

            head._should_compute_remaining_blocks = told
            yield dict

    return method


@contextmanager
def _hooked(loop: Loop, apply: Callable[[], None]) -> Iterator[list[Any]]:
    """The model with hooks of diffusers, which forget the last run before every run.

    Also models whose class takes no caches: what ``enable_cache`` calls is called itself, and what
    ``cache_context`` would set is set.
    """
    from diffusers.hooks.hooks import CacheContext, _set_cache_context

    model = loop.model
    registry = HookRegistry.check_if_exists_or_initialize(model)

    def begin() -> None:
        registry.reset_stateful_hooks()
        if not hasattr(model, "cache_context"):
            _set_cache_context(model, CacheContext("cond"))

    apply()
    registry.invalidate_child_registries_cache()
    try:
        registries = [getattr(module, "_diffusers_hook", None) for module in model.modules()]
        with begun_by(loop, begin):
            yield [hook for each in registries if each for hook in each.hooks.values()]
    finally:
        for name in HOOKS:
            registry.remove_hook(name, recurse=True)
        registry.invalidate_child_registries_cache()


def of_cache_dit(computed_blocks: int, full: frozenset[int]) -> Method:
    """DBCache with TaylorSeer: its first blocks always run, the others on full steps only."""

    @contextmanager
    def method(loop: Loop, steps: int) -> Iterator[Said]:
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
        version: Measured = {"version": cache_dit.__version__}

        def begin() -> None:  # without a pipeline its steps go on counting from run to run
            cache_dit.refresh_context(loop.model, cache_config=settings)

        try:
            cache_dit.enable_cache(loop.model, cache_config=settings, calibrator_config=taylor)
            with begun_by(loop, begin):
                yield lambda: version
        except (NotMeasured, torch.OutOfMemoryError):
            raise
        except Exception as error:  # whatever it cannot do is not ours to mend
            raise NotMeasured(
                f"cache-dit {cache_dit.__version__}: {type(error).__name__}: {error}"
            ) from error
        finally:
            cache_dit.disable_cache(loop.model)

    return method
