"""diffusers' LTX-Video: ``LTXVideoTransformer3DModel``.

As PixArt, with RMS norms; pipelines that are given frames modulate token by token.
"""

from collections.abc import Sequence
from typing import Any

from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    ModelDescription,
    Modulation,
    named_input,
)
from clusca_ext.adapters.parts import (
    attention,
    blocks_of,
    describe_block,
    guided,
    mlp,
    six,
    table_of,
    whole,
)

MODEL = "LTXVideoTransformer3DModel"


def describe(model: Any) -> ModelDescription:
    latents, config = named_input(model, "hidden_states"), model.config
    channels = config.num_attention_heads * config.attention_head_dim

    def stream_shape(args: Args, kwargs: Kwargs) -> tuple[int, int, int]:
        B, N, _ = latents(args, kwargs).shape
        return B, N, channels

    return ModelDescription(
        model=model,
        blocks=tuple(_block(block) for block in blocks_of(model.transformer_blocks)),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=stream_shape,
        pairs=guided(latents),
    )


def _block(block: Any) -> BlockDescription:
    temb = named_input(block, "temb")  # [B, 1 or N, 6 D]

    def modulation(args: Args, kwargs: Kwargs) -> Sequence[Modulation]:
        rows = temb(args, kwargs).unflatten(-1, (6, -1))
        first, of_mlp = six(table_of(block.scale_shift_table, rows))
        return first, Modulation(), of_mlp

    modules = (
        attention(block.attn1, "attn", whole),
        attention(block.attn2, "cross", whole),
        mlp(block.ff, block.norm2),
    )
    return describe_block(block, modules, modulation)
