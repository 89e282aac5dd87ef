"""diffusers' HunyuanVideo: ``HunyuanVideoTransformer3DModel``, text and image to video.

As FLUX.1, with the video in front of the text. Where the first frame is given (token replacement),
its tokens have modulations of their own.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    ModelDescription,
    Modulation,
    TokenGroups,
)
from clusca_ext.adapters.inputs import named_input
from clusca_ext.adapters.parts import (
    adaptive_block,
    attention,
    blocks_of,
    by_kinds,
    conditions,
    describe_block,
    embed_rows,
    first_tokens,
    mlp,
    six,
)
from clusca_ext.adapters.shapes import patch_grid, patches

MODEL = "HunyuanVideoTransformer3DModel"


def describe(model: Any) -> ModelDescription:
    double = [_double(block) for block in blocks_of(model.transformer_blocks)]
    single = [_single(block) for block in blocks_of(model.single_transformer_blocks)]
    latents, config = named_input(model, "hidden_states"), model.config
    size = (config.patch_size_t, config.patch_size, config.patch_size)
    channels = config.num_attention_heads * config.attention_head_dim
    replaces_first = any(_replaces_first(block.block) for block in double)

    def embed(timesteps: Tensor, given: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
        return embed_rows(lambda *rows: model.time_text_embed(*rows)[0], timesteps, given)

    def embed_both(timesteps: Tensor, given: tuple[Tensor, ...], dtype: torch.dtype) -> Any:
        both = embed_rows(lambda *r: torch.cat(model.time_text_embed(*r), -1), timesteps, given)
        return both.chunk(2, dim=-1)[::-1]

    def sizes(args: Args, kwargs: Kwargs) -> tuple[int, ...]:
        frames, *frame = grid(args, kwargs)
        return math.prod(frame), (frames - 1) * math.prod(frame)

    grid, given = patch_grid(latents, size), conditions(model, "pooled_projections", "guidance")
    groups = TokenGroups(sizes=sizes, conditions=given, embed=embed_both)

    return ModelDescription(
        model=model,
        blocks=(*double, *single),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=patches(latents, size, channels),
        grid=grid,
        by_token=lambda args, kwargs: replaces_first,
        groups=groups if replaces_first else None,
        sources={"last_double": len(double) - 1},
        conditions=None if replaces_first else given,
        embed=embed,
    )


def _double(block: Any) -> BlockDescription:
    modules = (attention(block.attn), mlp(block.ff, block.norm2))
    return _describe(block, modules, block.norm1, lambda values: six(values.chunk(6, dim=-1)))


def _single(block: Any) -> BlockDescription:
    def gate(values: Tensor) -> Sequence[Modulation]:
        return (Modulation(gate=values.chunk(3, dim=-1)[2]),)

    return _describe(block, (attention(block.proj_out, "out", first_tokens),), block.norm, gate)


def _describe(
    block: Any, modules: Any, norm: Any, split: Callable[[Tensor], Sequence[Modulation]]
) -> BlockDescription:
    if not _replaces_first(block):
        silu = nn.functional.silu
        return adaptive_block(
            block, modules, lambda temb: split(norm.linear(silu(temb))), "x, text"
        )
    return describe_block(
        block,
        modules,
        _by_token(block, norm, split),
        "x, text",
        lambda temb: split(norm.linear(nn.functional.silu(temb))),
    )


def _replaces_first(block: Any) -> bool:
    return "TokenReplace" in type(block).__name__


def _by_token(
    block: Any, norm: Any, split: Callable[[Tensor], Sequence[Modulation]]
) -> Callable[[Args, Kwargs], Sequence[Modulation]]:
    """Modulation of a block whose first frame has its own."""
    temb, x = named_input(block, "temb"), named_input(block, "hidden_states")
    of_first = named_input(block, "token_replace_emb")
    tokens_of_first = named_input(block, "num_tokens")

    def modulation(args: Args, kwargs: Kwargs) -> Sequence[Modulation]:
        both = torch.stack([temb(args, kwargs), of_first(args, kwargs)], dim=1)
        values = norm.linear(nn.functional.silu(both))  # [B, 2, M D]
        tokens = torch.arange(x(args, kwargs).shape[1], device=both.device)
        return by_kinds(split(values), tokens.unsqueeze(0) < tokens_of_first(args, kwargs))

    return modulation
