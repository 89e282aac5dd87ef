"""diffusers' Mochi: ``MochiTransformer3DModel``.

What attention and the MLP return is normalised before its gate: the normalised tokens are cached.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters.description import (
    BlockDescription,
    ModelDescription,
    Modulation,
    ModuleDescription,
)
from clusca_ext.adapters.inputs import named_input
from clusca_ext.adapters.parts import (
    adaptive_block,
    attention,
    blocks_of,
    conditions,
    guided,
)
from clusca_ext.adapters.shapes import patch_grid, patches

MODEL = "MochiTransformer3DModel"


def describe(model: Any) -> ModelDescription:
    latents, config = named_input(model, "hidden_states"), model.config
    channels = config.num_attention_heads * config.attention_head_dim
    size = (1, config.patch_size, config.patch_size)

    def embed(timesteps: Tensor, given: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
        embedder = model.time_embed
        of_time = embedder.timestep_embedder(embedder.time_proj(timesteps).to(dtype))
        embedded: Tensor = of_time[:, None] + embedder.pooler(*given)
        return embedded

    return ModelDescription(
        model=model,
        blocks=tuple(_block(block, channels) for block in blocks_of(model.transformer_blocks)),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=patches(latents, size, channels),
        grid=patch_grid(latents, size),
        pairs=guided(latents),
        conditions=conditions(model, "encoder_hidden_states", "encoder_attention_mask"),
        embed=embed,
    )


def _block(block: Any, channels: int) -> BlockDescription:
    def modulation(temb: Tensor) -> Sequence[Modulation]:
        activated = nn.functional.silu(temb)
        _, gate, mlp_scale, mlp_gate = block.norm1.linear(activated).chunk(4, dim=-1)
        return Modulation(gate=gate.tanh()), Modulation(scale=mlp_scale, gate=mlp_gate.tanh())

    def of_attention(output: tuple[Tensor, Tensor], N: int) -> Tensor:
        normalised: Tensor = block.norm2(output[0])
        return normalised

    modules = (attention(block.attn1, feature=of_attention), _mlp(block, channels))
    return adaptive_block(block, modules, modulation, "x, text")


def _mlp(block: Any, channels: int) -> ModuleDescription:
    def compute(rows: Tensor) -> Tensor:
        normalised: Tensor = block.norm4(block.ff(rows))
        return normalised

    return ModuleDescription(
        name="mlp",
        module=block.ff,
        norm=nn.RMSNorm(channels, block.norm3.eps, elementwise_affine=False),
        represents=True,
        call=lambda tokens, args, kwargs: compute(tokens),
        feature=lambda output, N: block.norm4(output),
        compute=compute,
    )
