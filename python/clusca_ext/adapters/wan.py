"""diffusers' Wan 2.1 and 2.2: ``WanTransformer3DModel``.

Gates are float32 beside a stream of lower precision. Wan 2.2 TI2V modulates every token by itself.
"""

from typing import Any

import torch

from clusca_ext.adapters.description import (
    BlockDescription,
    ModelDescription,
    named_input,
)
from clusca_ext.adapters.parts import (
    blocks_of,
    patches,
    timestep_by_token,
)
from clusca_ext.adapters.tables import table_block

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
        by_token=timestep_by_token(model),
    )


def describe_wan_block(block: Any) -> BlockDescription:
    temb = named_input(block, "temb")  # [B, 6, D] or [B, N, 6, D]
    return table_block(block, block.ffn, block.norm3, temb, torch.float32)
