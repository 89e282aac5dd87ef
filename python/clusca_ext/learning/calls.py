"""Calls of a model: kept, repeated, and what they return."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Call(NamedTuple):
    """The inputs of one call of a model."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}

    def of(self, model: nn.Module) -> Any:
        return model(*self.args, **self.kwargs)


def prediction(output: Any) -> Tensor:
    """What a model predicts: its output, or the first of several.

    Raises:
        ValueError: There is no tensor.
    """
    if isinstance(output, Mapping):  # as diffusers' outputs are
        output = tuple(output.values())
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if isinstance(output, (tuple, list)) and output:  # an image each
        output = torch.stack(tuple(output))
    if not isinstance(output, Tensor):
        raise ValueError(f"the model must return a tensor first, got {type(output).__name__}")
    return output


def copied(value: Any, seen: dict[int, tuple[Tensor, int, Tensor]] | None = None) -> Any:
    """The value with all tensors copied, so that autograd may use them and nobody changes them.

    Args:
        value: Anything made of tuples, lists and dicts.
        seen: Tensors that were copied before, by identity: one that has not changed since, as the
            text's embeddings from step to step, is not copied again.
    """
    if isinstance(value, Tensor):
        version = -1 if value.is_inference() else value._version
        if seen is not None and version >= 0 and id(value) in seen:
            _, before, copy = seen[id(value)]
            if before == version:
                return copy
        with torch.inference_mode(False), torch.no_grad():
            copy = value.clone()
        if seen is not None:
            seen[id(value)] = value, version, copy  # the tensor itself keeps its identity taken
        return copy
    if isinstance(value, Call):
        return Call(copied(value.args, seen), copied(value.kwargs, seen))
    if type(value) in (tuple, list):
        return type(value)(copied(each, seen) for each in value)
    if isinstance(value, dict):
        return {name: copied(each, seen) for name, each in value.items()}
    return value


@contextmanager
def intercepted(model: nn.Module, handle: Callable[[Call], Any]) -> Iterator[None]:
    """Let ``handle`` answer the model's calls, within the hooks that are on it.

    When ``handle`` itself calls the model, that goes through.
    """
    had_its_own = "forward" in vars(model)
    original = model.forward
    inside = False

    def forward(*args: Any, **kwargs: Any) -> Any:
        nonlocal inside
        if inside:
            return original(*args, **kwargs)
        inside = True
        try:
            return handle(Call(args, kwargs))
        finally:
            inside = False

    model.forward = forward
    try:
        yield
    finally:
        if had_its_own:
            model.forward = original
        else:
            del model.__dict__["forward"]


def record(model: nn.Module, sample: Callable[[], Any]) -> list[Call]:
    """All calls of the model that a sampler makes, in order."""
    calls: list[Call] = []
    seen: dict[int, tuple[Tensor, int, Tensor]] = {}

    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append(copied(Call(args, kwargs), seen))

    handle = model.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        sample()
    finally:
        handle.remove()
    return calls


def branches_of(calls: int, num_steps: int) -> int:
    """How often a step calls the model: once, or once for each branch of guidance.

    Raises:
        ValueError: The calls do not divide evenly by steps.
    """
    if not calls or calls % num_steps:
        raise ValueError(
            f"sample must call the model equally often in each of {num_steps} steps, got {calls} "
            "calls"
        )
    return calls // num_steps
