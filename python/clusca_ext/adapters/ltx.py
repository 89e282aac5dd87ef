"""diffusers' LTX-Video: ``LTXVideoTransformer3DModel``.

As PixArt, with RMS norms; pipelines that are given frames modulate token by token.
"""

from typing import Any

from clusca_ext.adapters.description import (
    BlockDescription,
    ModelDescription,
    named_input,
)
from clusca_ext.adapters.parts import (
    blocks_of,
    guided,
    timestep_by_token,
    tokens,
)
from clusca_ext.adapters.tables import table_block

MODEL = "LTXVideoTransformer3DModel"


def describe(model: Any) -> ModelDescription:
    latents, config = named_input(model, "hidden_states"), model.config
    channels = config.num_attention_heads * config.attention_head_dim

    return ModelDescription(
        model=model,
        blocks=tuple(_block(block) for block in blocks_of(model.transformer_blocks)),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=tokens(latents, channels),
        pairs=guided(latents),
        by_token=timestep_by_token(model),
    )


def _block(block: Any) -> BlockDescription:
    temb = named_input(block, "temb")  # [B, 1 or N, 6 D]
    return table_block(
        block, block.ff, block.norm2, lambda args, kwargs: temb(args, kwargs).unflatten(-1, (6, -1))
    )
