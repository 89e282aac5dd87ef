"""diffusers' PixArt-alpha and Sigma: ``PixArtTransformer2DModel``.

Attention to the text has neither norm nor gate; the six modulations of a block are a table of its
own added to one embedding of the timestep.
"""

from typing import Any

from clusca_ext.adapters.description import (
    BlockDescription,
    ModelDescription,
    named_input,
)
from clusca_ext.adapters.parts import (
    blocks_of,
    check_not_chunked,
    guided,
    patches,
)
from clusca_ext.adapters.tables import table_block

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
    embedded = named_input(block, "timestep")  # [B, 6 D], by the model
    return table_block(
        block,
        block.ff,
        block.norm2,
        lambda args, kwargs: embedded(args, kwargs).unflatten(-1, (6, -1)),
    )
