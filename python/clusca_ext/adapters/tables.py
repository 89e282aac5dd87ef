"""Blocks whose modulation is a table of their own, added to rows of the timestep."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    Modulation,
    SharedGates,
    whole,
)
from clusca_ext.adapters.parts import attention, describe_block, mlp, six

Rows = Callable[[Args, Kwargs], Tensor]
Call = Callable[[Tensor, Args, Kwargs], Tensor]


def table_block(
    block: Any,
    feed_forward: nn.Module,
    norm: nn.Module,
    rows: Rows,
    calls: tuple[Call, Call],
    cross_norm: nn.Module | None = None,
    dtype: torch.dtype | None = None,
) -> BlockDescription:
    """A block of attention, ungated attention to the text, and an MLP, modulated by a table.

    A model whose ``embed`` gives the timestep's rows of many steps, [S, 1 or B, 6, D], can plan it.

    Args:
        block: The block, with a ``scale_shift_table`` of its own.
        feed_forward: Its MLP.
        norm: The norm in front of that.
        rows: The timestep's six rows, [B, 6, D] or [B, N, 6, D] by token, from its inputs.
        calls: How it calls its two attentions on all tokens, as ``ModuleDescription.call``.
        cross_norm: The norm in front of the second; None: there is none.
        dtype: What the table is converted to before the rows are added; None: nothing.
    """

    def own() -> Tensor:
        table: Tensor = block.scale_shift_table.view(6, -1)
        return table if dtype is None else table.to(dtype)

    def modulation(args: Args, kwargs: Kwargs) -> tuple[Modulation, ...]:
        table, given = own(), rows(args, kwargs)
        if given.dim() == 4 and given.shape[1] > 1:
            first, of_mlp = six(given.unbind(-2))
            first, of_mlp = first._replace(table=table[:3]), of_mlp._replace(table=table[3:])
        else:
            first, of_mlp = six((table + given).unbind(-2))
        return first, Modulation(), of_mlp

    def plan(given: Tensor) -> tuple[Modulation, ...]:
        first, of_mlp = six((own() + given).unbind(-2))
        return first, Modulation(), of_mlp

    def shared(args: Args, kwargs: Kwargs) -> dict[str, Tensor]:
        given = rows(args, kwargs)
        return {"attn": given[..., 2, :], "mlp": given[..., 5, :]}

    gates = SharedGates(
        own=lambda: (own()[2], None, own()[5]), rows=shared, of=("attn", None, "mlp")
    )
    modules = (
        attention(block.attn1, "attn", whole, block.norm1, calls[0]),
        attention(block.attn2, "cross", whole, cross_norm, calls[1]),
        mlp(feed_forward, norm),
    )
    described = describe_block(block, modules, modulation, plan=plan)
    return dataclasses.replace(described, shared=gates)
