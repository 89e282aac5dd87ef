"""diffusers' PixArt-alpha and Sigma: ``PixArtTransformer2DModel``.

Attention to the text has neither norm nor gate; the six modulations of a block are a table of its
own added to one embedding of the timestep.
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
    check_not_chunked,
    describe_block,
    guided,
    mlp,
    patches,
    six,
    table_of,
    whole,
)

MODEL = "PixArtTransformer2DModel"


def describe(model: Any) -> ModelDescription:
    latents = named_input(model, "hidden_states")
    return ModelDescription(
        model=model,
        blocks=tuple(_block(block) for block in blocks_of(model.transformer_blocks)),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=patches(latents, (model.config.patch_size,) * 2, model.inner_dim),
        pairs=guided(latents),
    )


def _block(block: Any) -> BlockDescription:
    check_not_chunked(block)
    embedding = named_input(block, "timestep")  # [B, 6 D], embedded by the model

    def modulation(args: Args, kwargs: Kwargs) -> Sequence[Modulation]:
        rows = embedding(args, kwargs).unflatten(-1, (6, -1))
        first, of_mlp = six(table_of(block.scale_shift_table, rows))
        return first, Modulation(), of_mlp

    modules = (
        attention(block.attn1, "attn", whole),
        attention(block.attn2, "cross", whole),
        mlp(block.ff, block.norm2),
    )
    return describe_block(block, modules, modulation)
