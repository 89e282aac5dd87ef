"""What a call of a model is given: the tensors in it, and what must not change in a run."""

from typing import Any

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription

Conditions = dict[int | str, list[Tensor]]  # of a call, by position or name


def tensors_of(args: Args, kwargs: Kwargs) -> list[tuple[int | str, list[Tensor]]]:
    """The tensors in the model's inputs, by position or name: one, or a list's."""
    inputs: list[tuple[int | str, Any]] = [*enumerate(args), *sorted(kwargs.items())]
    lists = [(name, value if isinstance(value, list) else [value]) for name, value in inputs]
    found = [
        (name, [each for each in values if isinstance(each, Tensor)]) for name, values in lists
    ]
    return [(name, tensors) for name, tensors in found if tensors]


def conditions_of(description: ModelDescription, args: Args, kwargs: Kwargs) -> Conditions:
    """What a model is given beside latents and timestep, and a ControlNet's residuals: made for one
    call, these are large, and tell no calls apart."""
    latents = description.latents(args, kwargs)
    timestep = None if description.timestep is None else description.timestep(args, kwargs)
    return {
        name: tensors
        for name, tensors in tensors_of(args, kwargs)
        if name not in description.by_block
        and not any(tensor is latents or tensor is timestep for tensor in tensors)
    }


def highest(timestep: Tensor | float) -> float:
    """A call's timestep, read on the host: tokens that are given have one of 0 of their own."""
    return float(timestep.max()) if isinstance(timestep, Tensor) else float(timestep)


def is_equal(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same, or alike and of the same values, read on the host."""
    alike = (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)
    return a is b or (alike and torch.equal(a, b))


def signature_of(args: Args, kwargs: Kwargs) -> object:
    """What must not change within a run: autocast, and shape, dtype and device of every input."""
    autocast = [
        (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device))
        for device in ("cpu", "cuda")
    ]
    inputs = tensors_of(args, kwargs)
    return autocast, [(name, [(t.shape, t.dtype, t.device) for t in ts]) for name, ts in inputs]


def latents_of(found: Any) -> Tensor:
    """What an adapter finds as latents, if it is a tensor."""
    if not isinstance(found, Tensor):
        raise ValueError(f"latents must be a tensor among the model's inputs, got {found!r}")
    return found
