"""diffusers' CogVideoX: ``CogVideoXTransformer3DModel``.

One MLP runs on text, then video; every norm has a modulation of its own, and weights.
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
from clusca_ext.adapters.parts import attention, blocks_of, describe_block, guided, last_tokens, mlp

MODEL = "CogVideoXTransformer3DModel"


def describe(model: Any) -> ModelDescription:
    latents, config = named_input(model, "hidden_states"), model.config
    channels = config.num_attention_heads * config.attention_head_dim

    def stream_shape(args: Args, kwargs: Kwargs) -> tuple[int, int, int]:
        B, frames, _, height, width = latents(args, kwargs).shape
        p, p_t = config.patch_size, config.patch_size_t or 1
        return B, -(-frames // p_t) * (height // p) * (width // p), channels

    return ModelDescription(
        model=model,
        blocks=tuple(_block(block) for block in blocks_of(model.transformer_blocks)),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=stream_shape,
        pairs=guided(latents),
    )


def _block(block: Any) -> BlockDescription:
    temb = named_input(block, "temb")

    def modulation(args: Args, kwargs: Kwargs) -> Sequence[Modulation]:
        activated = nn.functional.silu(temb(args, kwargs))
        # shift, scale, gate of the video, then of the text
        return tuple(
            Modulation(*norm.linear(activated).chunk(6, dim=1)[:3])
            for norm in (block.norm1, block.norm2)
        )

    modules = (
        attention(block.attn1),
        mlp(block.ff, block.norm2.norm, feature=last_tokens),
    )
    return describe_block(block, modules, modulation, "x, text")
