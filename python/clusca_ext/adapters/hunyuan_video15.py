"""diffusers' HunyuanVideo 1.5: ``HunyuanVideo15Transformer3DModel``, text and image to video.

Double-stream blocks only. What the video is made from, images and two texts, is one stream beside
it, which cached steps skip.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from clusca_ext.adapters.description import (
    BlockDescription,
    ModelDescription,
    Modulation,
)
from clusca_ext.adapters.inputs import named_input
from clusca_ext.adapters.parts import (
    adaptive_block,
    attention,
    blocks_of,
    conditions,
    embed_rows,
    mlp,
    six,
)
from clusca_ext.adapters.shapes import patch_grid, patches

MODEL = "HunyuanVideo15Transformer3DModel"


def describe(model: Any) -> ModelDescription:
    latents, config = named_input(model, "hidden_states"), model.config
    size = (config.patch_size_t, config.patch_size, config.patch_size)
    channels = config.num_attention_heads * config.attention_head_dim
    return ModelDescription(
        model=model,
        blocks=tuple(_block(block) for block in blocks_of(model.transformer_blocks)),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=patches(latents, size, channels),
        grid=patch_grid(latents, size),
        # MeanFlow models are given the next step's timestep too.
        conditions=None if config.use_meanflow else conditions(model),
        embed=lambda timesteps, given, dtype: embed_rows(model.time_embed, timesteps, given),
    )


def _block(block: Any) -> BlockDescription:
    def modulation(temb: Tensor) -> Sequence[Modulation]:
        return six(block.norm1.linear(nn.functional.silu(temb)).chunk(6, dim=-1))

    modules = (attention(block.attn), mlp(block.ff, block.norm2))
    return adaptive_block(block, modules, modulation, "x, text")
