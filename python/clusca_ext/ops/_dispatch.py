"""How wrappers reach their operators, and what every operator does where it has no kernel."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from clusca_ext import _library, gpus

F = TypeVar("F", bound=Callable[..., Any])

_PREFIX = "clusca::"
_autograd = torch.library.Library("clusca", "IMPL")
_missing_cuda = torch.library.Library("clusca", "IMPL")

OPS = (
    "kmeans_assign",
    "kmeans_step",
    "kmeans_fit",
    "select_representatives",
    "select_nearest",
    "gather_representatives",
    "cluster_propagate",
    "cluster_propagate.tensor",
    "taylor_update_",
    "taylor_update_.tensor",
    "taylor_forecast",
    "taylor_forecast.tensor",
    "forecast_residual_",
    "forecast_residual_.tensor",
    "propagate_residual_",
    "propagate_residual_.tensor",
    "propagate_factors_",
    "propagate_factors_.tensor",
    "carry_representatives_",
    "carry_representatives_.tensor",
    "collapsed_residual",
    "collapsed_residual.tensor",
    "collapse_forecasts_",
    "lean_accumulate_",
    "lean_output",
    "lean_output.tensor",
)


def call(op: Callable[..., Any], *args: object) -> Any:
    """Call an operator; what it says of a bad argument becomes a ValueError."""
    try:
        return op(*args)
    except RuntimeError as error:
        if not str(error).startswith(_PREFIX):
            if reason := gpus.explained(error):
                raise reason from error
            raise
        raise ValueError(str(error)) from None


def fake(*names: str) -> Callable[[F], F]:
    """Register a fake kernel, which allocates what the operator returns and computes nothing.

    It refuses tensors of several devices as the kernels do, so that compiling says it, not running.
    """

    def register(function: F) -> F:
        for name in names:
            torch.library.register_fake(name, _on_one_device(name.removeprefix(_PREFIX), function))
        return function

    return register


def _on_one_device(name: str, function: F) -> F:
    @wraps(function)
    def checked(*args: object, **kwargs: object) -> Any:
        arguments = [argument.name for argument in overload(name)._schema.arguments]
        given = {**dict(zip(arguments, args, strict=False)), **kwargs}
        tensors = [
            (f"{argument}[{i}]" if isinstance(value, (list, tuple)) else argument, each)
            for argument, value in given.items()
            for i, each in enumerate(value if isinstance(value, (list, tuple)) else [value])
            if isinstance(each, Tensor)
        ]
        first, like = tensors[0]
        for argument, tensor in tensors:
            if tensor.device != like.device:
                raise RuntimeError(
                    f"{_PREFIX}{name.partition('.')[0]}: {argument} must be on {like.device} as "
                    f"{first} is, got {tensor.device}"
                )
        return function(*args, **kwargs)

    return cast(F, checked)


def both_or_neither(**values: float | Tensor) -> bool:
    """Whether the values are tensors; an error if only some of them are."""
    tensors = [isinstance(value, Tensor) for value in values.values()]
    if any(tensors) and not all(tensors):
        kinds = ", ".join(f"{name}: {type(value).__name__}" for name, value in values.items())
        raise ValueError(
            f"{' and '.join(values)} must all be numbers or all be tensors, got {kinds}"
        )
    return all(tensors)


def overload(name: str) -> Any:
    packet, _, which = name.partition(".")
    return getattr(getattr(torch.ops.clusca, packet), which or "default")


def _refuse_gradients(name: str) -> None:
    """Silent zero gradients would be worse than an error: the operators are for inference."""
    op = overload(name)

    def forward(keyset: torch._C.DispatchKeySet, *args: object, **kwargs: object) -> Any:
        if torch.is_grad_enabled():
            for argument in tree_leaves((args, kwargs)):
                if isinstance(argument, Tensor) and argument.requires_grad:
                    raise RuntimeError(
                        f"{_PREFIX}{name}: inputs must not require grad, got one that does. The "
                        "operators are for inference; use torch.no_grad(), or the differentiable "
                        f"clusca_ext.reference.{name.partition('.')[0]}"
                    )
        with torch._C._AutoDispatchBelowAutograd():
            return op.redispatch(keyset & torch._C._after_autograd_keyset, *args, **kwargs)

    _autograd.impl(name, forward, "Autograd", with_keyset=True)


def refused(name: str) -> Callable[..., Any]:
    """What stands in for a CUDA kernel that is not there."""

    def unavailable(*args: object, **kwargs: object) -> Any:
        raise RuntimeError(f"{_PREFIX}{name} has no CUDA kernel here: {_library.cuda_missing}")

    return unavailable


for _name in OPS:
    _refuse_gradients(_name)
    if _library.cuda_missing:
        _missing_cuda.impl(_name, refused(_name), "CUDA")
if not _library.cuda_missing:
    gpus.watch()
