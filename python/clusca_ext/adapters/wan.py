"""diffusers' Wan 2.1 and 2.2: ``WanTransformer3DModel``.

Gates are float32 beside a stream of lower precision. Wan 2.2 TI2V modulates every token by itself.
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
    mlp,
    patches,
    six,
    table_of,
    whole,
)

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
    )


def describe_wan_block(block: Any) -> BlockDescription:
    embedding = named_input(block, "temb")  # [B, 6, D] or [B, N, 6, D]

    def modulation(args: Args, kwargs: Kwargs) -> Sequence[Modulation]:
        rows = embedding(args, kwargs).float()
        first, of_mlp = six(table_of(block.scale_shift_table.squeeze(0), rows))
        return first, Modulation(), of_mlp

    modules = (
        attention(block.attn1, "attn", whole),
        attention(block.attn2, "cross", whole),
        mlp(block.ffn, block.norm3),
    )
    return describe_block(block, modules, modulation)
