"""diffusers' FLUX.1: ``FluxTransformer2DModel``, double-stream blocks, then single-stream ones.

The stream is the image's. Text is skipped on cached steps: without attention it cannot reach the
image. A single-stream block's attention and MLP share an output projection, whose output is
forecast as a whole; representatives are computed in the double-stream blocks' MLPs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters.description import (
    BlockDescription,
    ModelDescription,
    Modulation,
)
from clusca_ext.adapters.inputs import named_input
from clusca_ext.adapters.parts import (
    adaptive_block,
    attention,
    blocks_of,
    conditions,
    embed_rows,
    last_tokens,
    mlp,
    six,
)
from clusca_ext.adapters.shapes import behind_first, position_grid, tokens

MODEL = "FluxTransformer2DModel"


def describe(model: Any) -> ModelDescription:
    double = [_double(block) for block in blocks_of(model.transformer_blocks)]
    single = [_single(block) for block in blocks_of(model.single_transformer_blocks)]
    latents, positions = named_input(model, "hidden_states"), named_input(model, "img_ids")

    def embed(timesteps: Tensor, given: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
        def rows(timestep: Tensor, pooled: Tensor, *guidance: Tensor) -> Tensor:
            scaled = [each.to(dtype) * 1000 for each in (timestep, *guidance)]
            embedded: Tensor = model.time_text_embed(*scaled, pooled)
            return embedded

        return embed_rows(rows, timesteps, given)

    return ModelDescription(
        model=model,
        blocks=(*double, *single),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=tokens(latents, model.inner_dim),
        grid=position_grid(positions),
        around=behind_first(positions),
        sources={"last_double": len(double) - 1},
        conditions=conditions(model, "pooled_projections", "guidance"),
        embed=embed,
        given_timestep=lambda timestep, dtype: timestep.to(dtype) / 1000,
        by_block=("controlnet_block_samples", "controlnet_single_block_samples"),
    )


def _double(block: Any) -> BlockDescription:
    with_ip = "IPAdapter" in type(block.attn.processor).__name__

    def of_image(output: Any, N: int) -> Tensor:
        if len(output) != 2 + with_ip:
            raise ValueError(
                "IP-Adapters must be loaded and unloaded between runs, got "
                f"{len(output)} outputs of attention in the middle of one"
            )
        feature: Tensor = output[0]
        return feature

    def modulation(temb: Tensor) -> Sequence[Modulation]:
        of_both = six(block.norm1.linear(nn.functional.silu(temb)).chunk(6, dim=-1))
        return (*of_both, Modulation()) if with_ip else of_both

    modules = [attention(block.attn, feature=of_image), mlp(block.ff, block.norm2)]
    if with_ip:  # what image prompts add, after the MLP and without a gate
        modules.append(attention(block.attn, "ip", lambda output, N: output[2]))
    return adaptive_block(block, tuple(modules), modulation, "text, x")


def _single(block: Any) -> BlockDescription:
    def modulation(temb: Tensor) -> Sequence[Modulation]:
        gate = block.norm.linear(nn.functional.silu(temb)).chunk(3, dim=-1)[2]
        return (Modulation(gate=gate),)

    modules = (attention(block.proj_out, "out", last_tokens),)
    return adaptive_block(block, modules, modulation, "text, x")
