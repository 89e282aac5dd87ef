"""diffusers' CogVideoX: ``CogVideoXTransformer3DModel``.

One MLP runs on text, then video; every norm has a modulation of its own, and weights.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    ModelDescription,
    Modulation,
)
from clusca_ext.adapters.inputs import named_input
from clusca_ext.adapters.parts import (
    adaptive_block,
    attention,
    blocks_of,
    conditions,
    guided,
    last_tokens,
    mlp,
)

MODEL = "CogVideoXTransformer3DModel"


def describe(model: Any) -> ModelDescription:
    latents, config = named_input(model, "hidden_states"), model.config
    channels = config.num_attention_heads * config.attention_head_dim

    def grid(args: Args, kwargs: Kwargs) -> tuple[int, ...]:
        _, frames, _, height, width = latents(args, kwargs).shape
        p, p_t = config.patch_size, config.patch_size_t or 1
        return -(-frames // p_t), height // p, width // p

    def stream_shape(args: Args, kwargs: Kwargs) -> tuple[int, int, int]:
        return len(latents(args, kwargs)), math.prod(grid(args, kwargs)), channels

    def embed(timesteps: Tensor, given: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
        embedded: Tensor = model.time_embedding(model.time_proj(timesteps).to(dtype))[:, None]
        for ofs in given:
            embedded = embedded + model.ofs_embedding(model.ofs_proj(ofs).to(dtype))
        return embedded

    blocks = blocks_of(model.transformer_blocks)
    return ModelDescription(
        model=model,
        blocks=tuple(_block(block) for block in blocks),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=stream_shape,
        grid=grid,
        pairs=guided(latents),
        conditions=conditions(model, *["ofs"] * (model.ofs_embedding is not None)),
        embed=embed,
        embeddings={"embedded timestep": named_input(blocks[0], "temb")},
    )


def _block(block: Any) -> BlockDescription:
    def modulation(temb: Tensor) -> Sequence[Modulation]:
        activated = nn.functional.silu(temb)
        # shift, scale, gate of the video, then of the text
        return tuple(
            Modulation(*norm.linear(activated).chunk(6, dim=-1)[:3])
            for norm in (block.norm1, block.norm2)
        )

    modules = (
        attention(block.attn1),
        mlp(block.ff, block.norm2.norm, feature=last_tokens),
    )
    return adaptive_block(block, modules, modulation, "x, text")
