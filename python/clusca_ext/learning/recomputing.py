"""Gradient checkpointing: what backward computes again is mixed as it was at first."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn

Function = Callable[..., Any]


@contextmanager
def recomputed_within(
    model: nn.Module, context: Callable[[], AbstractContextManager[None]]
) -> Iterator[None]:
    """Whatever is checkpointed meanwhile is computed again, in backward, within a context.

    Args:
        model: One of diffusers, whose ``enable_gradient_checkpointing`` was called; others are
            left alone.
        context: Makes it.
    """
    modules: Iterator[Any] = model.modules()
    owners = [
        (module, module._gradient_checkpointing_func)
        for module in modules
        if getattr(module, "gradient_checkpointing", False)
        and hasattr(module, "_gradient_checkpointing_func")
    ]
    for module, function in owners:
        module._gradient_checkpointing_func = _checkpoint(function, context)
    try:
        yield
    finally:
        for module, function in owners:
            module._gradient_checkpointing_func = function


def _checkpoint(
    function: Function, context: Callable[[], AbstractContextManager[None]]
) -> Function:
    """A checkpointing function that tells a block's first computation from those after it."""

    def checkpoint(block: Function, *args: Any, **kwargs: Any) -> Any:
        computed = False

        def compute(*given: Any, **named: Any) -> Any:
            nonlocal computed
            if not computed:
                computed = True
                return block(*given, **named)
            with context():
                return block(*given, **named)

        return function(compute, *args, **kwargs)

    return checkpoint


def in_backward() -> bool:
    return torch._C._current_graph_task_id() >= 0
