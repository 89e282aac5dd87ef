"""diffusers' Qwen-Image and Qwen-Image-Edit: ``QwenImageTransformer2DModel``.

Edit models may modulate the tokens of given images by a timestep of 0: token by token.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    ModelDescription,
    Modulation,
    TokenGroups,
)
from clusca_ext.adapters.inputs import named_input
from clusca_ext.adapters.parts import (
    attention,
    blocks_of,
    by_kinds,
    conditions,
    describe_block,
    embed_rows,
    mlp,
    six,
)
from clusca_ext.adapters.shapes import tokens

MODEL = "QwenImageTransformer2DModel"


def describe(model: Any) -> ModelDescription:
    latents = named_input(model, "hidden_states")
    given_beside = conditions(model, "additional_t_cond")

    def embed(timesteps: Tensor, given: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
        like = timesteps.new_empty(0, dtype=dtype)  # the stream, whose dtype is all that is asked

        def rows(timestep: Tensor, *beside: Tensor) -> Tensor:
            embedded: Tensor = model.time_text_embed(timestep.to(dtype), like, *beside)
            return embedded

        return embed_rows(rows, timesteps, given)

    def embed_both(timesteps: Tensor, given: tuple[Tensor, ...], dtype: torch.dtype) -> Any:
        return embed(timesteps, given, dtype), embed(timesteps * 0, given, dtype)

    def sizes(args: Args, kwargs: Kwargs) -> tuple[int, ...]:
        (first, *beside), *others = shapes(args, kwargs)
        if any(each != [first, *beside] for each in others):
            return ()  # rows differ in where given images begin
        return math.prod(first), sum(map(math.prod, beside))

    def grid(args: Args, kwargs: Kwargs) -> tuple[int, ...]:
        """Of the first row's first image, behind which given ones lie."""
        given = shapes(args, kwargs)
        return tuple(given[0][0]) if given else ()

    def around(args: Args, kwargs: Kwargs) -> tuple[int, int]:
        given = shapes(args, kwargs)
        # Of several layers that are drawn at once, nothing says which images these are.
        if not given or model.config.use_layer3d_rope:
            return 0, 0
        return 0, sum(map(math.prod, given[0][1:]))

    def shapes(args: Args, kwargs: Kwargs) -> list[list[tuple[int, ...]]]:
        """Of each row its images' frames, rows and columns; one alone may be in no list."""
        given = named_shapes(args, kwargs) or []
        return [[row] if isinstance(row[0], int) else list(row) for row in given]

    named_shapes = named_input(model, "img_shapes")
    groups = TokenGroups(sizes=sizes, conditions=given_beside, embed=embed_both)
    return ModelDescription(
        model=model,
        blocks=tuple(_block(block) for block in blocks_of(model.transformer_blocks)),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=tokens(latents, model.inner_dim),
        grid=grid,
        around=around,
        by_token=lambda args, kwargs: model.zero_cond_t,
        groups=groups if model.zero_cond_t else None,
        conditions=None if model.zero_cond_t else given_beside,
        embed=embed,
        given_timestep=lambda timestep, dtype: timestep.to(dtype) / 1000,
        by_block=("controlnet_block_samples",),
    )


def _block(block: Any) -> BlockDescription:
    temb, index = named_input(block, "temb"), named_input(block, "modulate_index")

    def plan(embedded: Tensor) -> Sequence[Modulation]:
        return six(block.img_mod(embedded).chunk(6, dim=-1))

    def modulation(args: Args, kwargs: Kwargs) -> Sequence[Modulation]:
        values: Tensor = block.img_mod(temb(args, kwargs))
        which = index(args, kwargs)  # [B, N]: 0 by the step's timestep, else by 0
        if which is None:
            return six(values.chunk(6, dim=-1))
        both = torch.stack(values.chunk(2), dim=1)  # [B, 2, 6 D]
        return by_kinds(six(both.chunk(6, dim=-1)), which != 0)

    modules = (attention(block.attn), mlp(block.img_mlp, block.img_norm2))
    return describe_block(block, modules, modulation, "text, x", plan)
