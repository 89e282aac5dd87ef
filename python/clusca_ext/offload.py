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
