"""diffusers' Wan 2.1 and 2.2: ``WanTransformer3DModel``.

Gates are float32 beside a stream of lower precision. Wan 2.2 TI2V modulates every token by itself.
"""

from typing import Any

import torch
from torch import Tensor

from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    ModelDescription,
)
from clusca_ext.adapters.inputs import named_input
from clusca_ext.adapters.parts import (
    blocks_of,
    conditions,
    timestep_by_token,
    unless_by_token,
)
from clusca_ext.adapters.shapes import patch_grid, patches
from clusca_ext.adapters.tables import table_block

MODEL = "WanTransformer3DModel"


def describe(model: Any) -> ModelDescription:
    latents = named_input(model, "hidden_states")
    config = model.config
    channels = config.num_attention_heads * config.attention_head_dim
    return ModelDescription(
        model=model,
        blocks=tuple(describe_wan_block(block) for block in blocks_of(model.blocks)),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=patches(latents, config.patch_size, channels),
        grid=patch_grid(latents, config.patch_size),
        by_token=timestep_by_token(model),
        conditions=unless_by_token(model, conditions(model)),
        embed=lambda timesteps, given, dtype: _rows(model.condition_embedder, timesteps, dtype),
        conditioned=False,
        gate_dtype=torch.float32,
        embeddings={
            "embedded timestep": model.condition_embedder.time_embedder,
            "projected timestep": named_input(blocks_of(model.blocks)[0], "temb"),
        },
    )


def _rows(embedder: Any, timesteps: Tensor, dtype: torch.dtype) -> Tensor:
    """The timestep's rows of S steps, as the embedder makes them. [S, 1, 6, D]"""
    projected, weight = (
        embedder.timesteps_proj(timesteps),
        next(embedder.time_embedder.parameters()),
    )
    if weight.dtype != torch.int8:
        projected = projected.to(weight.dtype)
    temb = embedder.time_embedder(projected).to(dtype)
    rows: Tensor = embedder.time_proj(embedder.act_fn(temb)).unflatten(1, (6, -1)).unsqueeze(1)
    return rows


def describe_wan_block(block: Any) -> BlockDescription:
    temb = named_input(block, "temb")  # [B, 6, D] or [B, N, 6, D]
    text, rotary = named_input(block, "encoder_hidden_states"), named_input(block, "rotary_emb")

    def attend(tokens: Tensor, args: Args, kwargs: Kwargs) -> Tensor:
        out: Tensor = block.attn1(tokens, None, None, rotary(args, kwargs))
        return out

    def read_text(tokens: Tensor, args: Args, kwargs: Kwargs) -> Tensor:
        out: Tensor = block.attn2(tokens, text(args, kwargs), None, None)
        return out

    calls = attend, read_text
    return table_block(block, block.ffn, block.norm3, temb, calls, block.norm2, torch.float32)
