"""diffusers' Stable Diffusion 3 and 3.5: ``SD3Transformer2DModel``.

The stream is the image's. Medium's first blocks attend twice, jointly and to the image alone. Calls
that skip layers, as skip-layer guidance makes them beside the others, are not cached.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from clusca_ext.adapters.description import (
    BlockDescription,
    ModelDescription,
    Modulation,
    whole,
)
from clusca_ext.adapters.inputs import named_input
from clusca_ext.adapters.parts import (
    adaptive_block,
    attention,
    blocks_of,
    check_not_chunked,
    conditions,
    embed_rows,
    guided,
    mlp,
    six,
)
from clusca_ext.adapters.shapes import patch_grid, patches

MODEL = "SD3Transformer2DModel"


def describe(model: Any) -> ModelDescription:
    latents, skipped = named_input(model, "hidden_states"), named_input(model, "skip_layers")
    return ModelDescription(
        model=model,
        blocks=tuple(_block(block) for block in blocks_of(model.transformer_blocks)),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=patches(latents, (model.config.patch_size,) * 2, model.inner_dim),
        grid=patch_grid(latents, (model.config.patch_size,) * 2),
        leaves_out=lambda args, kwargs: bool(skipped(args, kwargs)),
        pairs=guided(latents),
        conditions=conditions(model, "pooled_projections"),
        embed=lambda timesteps, given, dtype: embed_rows(model.time_text_embed, timesteps, given),
        by_block=("block_controlnet_hidden_states",),
    )


def _block(block: Any) -> BlockDescription:
    check_not_chunked(block)

    def modulation(temb: Tensor) -> Sequence[Modulation]:
        values: tuple[Tensor, ...] = block.norm1.linear(nn.functional.silu(temb)).chunk(
            9 if block.use_dual_attention else 6, dim=-1
        )
        joint, of_mlp = six(values[:6])
        return (joint, Modulation(*values[6:]), of_mlp) if values[6:] else (joint, of_mlp)

    modules = [attention(block.attn), mlp(block.ff, block.norm2)]
    if block.use_dual_attention:
        modules.insert(1, attention(block.attn2, "attn2", whole))
    return adaptive_block(block, tuple(modules), modulation, "text, x")
