"""diffusers' LTX-Video: ``LTXVideoTransformer3DModel``.

As PixArt, with RMS norms; pipelines that are given frames modulate token by token.
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
    guided,
    timestep_by_token,
    unless_by_token,
)
from clusca_ext.adapters.shapes import tokens
from clusca_ext.adapters.tables import table_block

MODEL = "LTXVideoTransformer3DModel"


def describe(model: Any) -> ModelDescription:
    latents, config = named_input(model, "hidden_states"), model.config
    channels = config.num_attention_heads * config.attention_head_dim

    def grid(args: Args, kwargs: Kwargs) -> tuple[int, ...]:
        given = [find(args, kwargs) for find in sides]
        if None not in given:
            return tuple(map(int, given))
        places = coordinates(args, kwargs)  # [B, 3, N]: a frame, a row, a column of each token
        return () if places is None else tuple(len(side.unique()) for side in places[0])

    coordinates = named_input(model, "video_coords")
    sides = [named_input(model, name) for name in ("num_frames", "height", "width")]

    def embed(timesteps: Tensor, given: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
        rows: Tensor = model.time_embed(timesteps, batch_size=1, hidden_dtype=dtype)[0]
        return rows.view(len(timesteps), 1, 6, -1)

    return ModelDescription(
        model=model,
        blocks=tuple(_block(block) for block in blocks_of(model.transformer_blocks)),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=tokens(latents, channels),
        grid=grid,
        pairs=guided(latents),
        by_token=timestep_by_token(model),
        conditions=unless_by_token(model, conditions(model)),
        embed=embed,
        conditioned=False,
    )


def _block(block: Any) -> BlockDescription:
    temb = named_input(block, "temb")  # [B, 1 or N, 6 D]
    names = "image_rotary_emb", "encoder_hidden_states", "encoder_attention_mask"
    rotary, text, mask = (named_input(block, name) for name in names)

    def attend(tokens: Tensor, args: Args, kwargs: Kwargs) -> Tensor:
        out: Tensor = block.attn1(tokens, image_rotary_emb=rotary(args, kwargs))
        return out

    def read_text(tokens: Tensor, args: Args, kwargs: Kwargs) -> Tensor:
        out: Tensor = block.attn2(tokens, text(args, kwargs), mask(args, kwargs))
        return out

    def rows(args: Args, kwargs: Kwargs) -> Tensor:
        found: Tensor = temb(args, kwargs).unflatten(-1, (6, -1))
        return found

    return table_block(block, block.ff, block.norm2, rows, (attend, read_text))
