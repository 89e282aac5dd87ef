"""What a module is modulated by: of all tokens, or of a few, for which no more is made."""

import torch
from torch import Tensor

from clusca_ext.adapters.description import Modulation

SHIFT, SCALE, GATE = range(3)


def per_token(modulation: Tensor) -> Tensor:
    """[B, 1 or N, D]"""
    return modulation.unsqueeze(1) if modulation.dim() == 2 else modulation


def is_unmade(modulation: Modulation) -> bool:
    """Whether [B, N, D] would first have to be made of it."""
    return modulation.kinds is not None or modulation.table is not None


def of_all(modulation: Modulation, part: int, x: Tensor) -> Tensor | None:
    """One part of it, in the form that operators take: [B, D], [B, 1, D] or [B, N, D].

    Args:
        modulation: Of a module.
        part: ``SHIFT``, ``SCALE`` or ``GATE``.
        x: The stream.
    """
    rows = modulation[part]
    if rows is not None and modulation.kinds is not None:
        rows = _rows_at(rows, modulation.kinds)
    return _finished(rows, modulation, part, x)


def at_tokens(modulation: Modulation, part: int, x: Tensor, tokens: Tensor) -> Tensor | None:
    """One part of it at some tokens [B, K], where -1 stands for none: [B, 1 or K, D]."""
    rows = modulation[part]
    if rows is not None:
        rows = per_token(rows)
        if rows.shape[1] > 1:
            index = tokens.clamp(min=0).long()
            if modulation.kinds is not None:
                index = modulation.kinds.take_along_dim(index, dim=1)
            rows = _rows_at(rows, index)
    return _finished(rows, modulation, part, x)


def _rows_at(rows: Tensor, index: Tensor) -> Tensor:
    """Rows [B, R, D] at an index [B or 1, K]: [B, K, D], of which no index is made."""
    B, _, D = rows.shape
    return rows.gather(1, index.unsqueeze(-1).expand(B, -1, D))


def _finished(rows: Tensor | None, modulation: Modulation, part: int, x: Tensor) -> Tensor | None:
    """With the table's row, in a dtype operators take; under autocast it comes in a lower one."""
    if rows is None:
        return None
    if modulation.table is not None:
        rows = rows + modulation.table[part]
    return rows if rows.dtype in (x.dtype, torch.float32) else rows.to(x.dtype)
