"""Norms in front of modules: their arguments, as operators take them, and what they must be."""

from typing import Any

import torch
from torch import nn

from clusca_ext import reference


def norm_arguments(norm: nn.Module | None) -> tuple[Any, ...]:
    """``(eps, weight, bias, norm)`` of ``ops.gather_representatives`` for a norm."""
    if norm is None:
        return 0.0, None, None, "none"
    weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    if isinstance(norm, nn.LayerNorm):
        return norm.eps, weight, bias, "layer"
    eps = getattr(norm, "eps", getattr(norm, "variance_epsilon", None))
    # Torch's default is float32's, whatever the tokens': it normalises in float32.
    return torch.finfo(torch.float32).eps if eps is None else eps, weight, bias, "rms"


def check_norm(norm: nn.Module | None, where: str) -> None:
    """By its name, and by what it makes of two rows."""
    got = type(norm).__name__
    if norm is not None and not isinstance(norm, nn.LayerNorm) and "RMSNorm" not in got:
        raise ValueError(f"the norm of {where} must be a LayerNorm, an RMSNorm or None, got {got}")
    if norm is not None and not _is_as_described(norm):
        raise ValueError(
            f"the norm of {where} must return normalised tokens * weight + bias, over the last "
            f"dimension, got a {got} that returns something else"
        )


def _is_as_described(norm: nn.Module) -> bool:
    eps, weight, bias, kind = norm_arguments(norm)
    shape = getattr(norm, "normalized_shape", (16,)) if weight is None else weight.shape
    like = torch.empty(0, device="cpu") if weight is None else weight
    if len(shape) != 1 or like.is_meta:
        return len(shape) == 1
    generator = torch.Generator("cpu").manual_seed(0)
    rows = torch.randn(1, 2, *shape, generator=generator, device="cpu") + 0.5
    rows[:, 1] *= 0.01  # where eps matters
    rows = rows.to(like)
    tokens = torch.arange(2, device=like.device)[None]
    with torch.no_grad():
        out = norm.forward(rows)  # not by a call: hooks are not for this
        _, expected = reference.gather_representatives(
            rows, tokens, eps=eps, weight=weight, bias=bias, norm=kind
        )
    tolerance = max(1e-4, 4 * torch.finfo(rows.dtype).eps)
    return torch.allclose(out.float(), expected.float(), tolerance, tolerance)
