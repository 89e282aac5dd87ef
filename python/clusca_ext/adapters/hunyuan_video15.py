"""diffusers' HunyuanVideo 1.5: ``HunyuanVideo15Transformer3DModel``, text and image to video.

Double-stream blocks only. What the video is made from, images and two texts, is one stream beside
it, which cached steps skip.
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    ModelDescription,
    Modulation,
    named_input,
)
from clusca_ext.adapters.parts import attention, blocks_of, describe_block, mlp, patches, six

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
    )


def _block(block: Any) -> BlockDescription:
    temb = named_input(block, "temb")

    def modulation(args: Args, kwargs: Kwargs) -> Sequence[Modulation]:
        activated = nn.functional.silu(temb(args, kwargs))
        return six(block.norm1.linear(activated).chunk(6, dim=1))

    modules = (attention(block.attn), mlp(block.ff, block.norm2))
    return describe_block(block, modules, modulation, "x, text")
