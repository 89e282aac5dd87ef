"""Blocks whose modulation is a table of their own, added to rows of the timestep."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters.description import Args, BlockDescription, Kwargs, Modulation, whole
from clusca_ext.adapters.parts import attention, describe_block, mlp, six

Rows = Callable[[Args, Kwargs], Tensor]


def table_block(
    block: Any,
    feed_forward: nn.Module,
    norm: nn.Module,
    rows: Rows,
    dtype: torch.dtype | None = None,
) -> BlockDescription:
    """A block of attention, ungated attention to the text, and an MLP, modulated by a table.

    Args:
        block: The block, with a ``scale_shift_table`` of its own.
        feed_forward: Its MLP.
        norm: The norm in front of that.
        rows: The timestep's six rows, [B, 6, D] or [B, N, 6, D] by token, from its inputs.
        dtype: What the table is converted to before the rows are added; None: nothing.
    """

    def modulation(args: Args, kwargs: Kwargs) -> tuple[Modulation, ...]:
        table, given = block.scale_shift_table.view(6, -1), rows(args, kwargs)
        if dtype is not None:
            table = table.to(dtype)
        if given.dim() == 4 and given.shape[1] > 1:
            first, of_mlp = six(given.unbind(-2))
            first, of_mlp = first._replace(table=table[:3]), of_mlp._replace(table=table[3:])
        else:
            first, of_mlp = six((table + given).unbind(-2))
        return first, Modulation(), of_mlp

    modules = (
        attention(block.attn1, "attn", whole),
        attention(block.attn2, "cross", whole),
        mlp(feed_forward, norm),
    )
    return describe_block(block, modules, modulation)
