"""Weights that come to a module when it is called, and leave after it."""

import torch
from torch import nn


def is_offloaded(module: nn.Module, device: torch.device) -> bool:
    """Whether the module must be called for its weights to be there.

    The device alone does not tell: diffusers' group offload may be fetching them, on a stream that
    only the call waits for, or keep them on a disk.
    """
    weight = next(module.parameters(), None)
    if weight is None:
        return False
    hooks = getattr(getattr(module, "_diffusers_hook", None), "hooks", ())
    return weight.device != device or "group_offloading" in hooks


def fetch(model: nn.Module) -> None:
    """A call of the model has begun: weights that come with it, all at once, come now.

    As with diffusers' ``enable_model_cpu_offload``: accelerate would move them within the call, and
    then finds them there.
    """
    hook = getattr(model, "_hf_hook", None)
    if hook is None:
        return
    from accelerate.hooks import CpuOffload  # type: ignore[import-untyped]  # the hook is its own

    for each in getattr(hook, "hooks", [hook]):
        if isinstance(each, CpuOffload):
            each.pre_forward(model)
