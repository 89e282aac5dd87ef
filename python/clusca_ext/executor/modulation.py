"""The forms modulation comes in: [B, D], [B, 1, D], or per token [B, N, D]."""

import torch
from torch import Tensor


def per_token(modulation: Tensor) -> Tensor:
    """[B, 1 or N, D]"""
    return modulation.unsqueeze(1) if modulation.dim() == 2 else modulation


def at_tokens(modulation: Tensor, tokens: Tensor) -> Tensor:
    """Modulation of some tokens [B, K]: [B, 1 or K, D]."""
    each = per_token(modulation)
    if each.shape[1] == 1:
        return each
    return each.take_along_dim(tokens.clamp(min=0).long().unsqueeze(-1), dim=1)


def of_stream(tensor: Tensor | None, x: Tensor) -> Tensor | None:
    """Modulation in a dtype the operators take; under autocast it comes in a lower one."""
    if tensor is None or tensor.dtype in (x.dtype, torch.float32):
        return tensor
    return tensor.to(x.dtype)
