"""diffusers' PixArt-alpha and Sigma: ``PixArtTransformer2DModel``.

Attention to the text has neither norm nor gate; the six modulations of a block are a table of its
own added to one embedding of the timestep.
"""

from typing import Any

import torch
from torch import Tensor

from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    ModelDescription,
)
from clusca_ext.adapters.inputs import named_input
from clusca_ext.adapters.parts import (
    blocks_of,
    check_not_chunked,
    embed_rows,
    guided,
)
from clusca_ext.adapters.shapes import patch_grid, patches
from clusca_ext.adapters.tables import table_block

MODEL = "PixArtTransformer2DModel"


def describe(model: Any) -> ModelDescription:
    latents, added = named_input(model, "hidden_states"), named_input(model, "added_cond_kwargs")
    names = ("resolution", "aspect_ratio") if model.use_additional_conditions else ()

    def sizes(args: Args, kwargs: Kwargs) -> tuple[Tensor, ...]:
        return tuple(added(args, kwargs)[name] for name in names)

    def embed(timesteps: Tensor, given: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
        def rows(timestep: Tensor, *given: Tensor) -> Tensor:
            sizes = dict(zip(names, given, strict=True)) or None
            how = {"batch_size": len(timestep), "hidden_dtype": dtype}
            made: Tensor = model.adaln_single(timestep, sizes, **how)[0]
            return made

        made = embed_rows(rows, timesteps, given)
        return made.view(*made.shape[:2], 6, -1)

    return ModelDescription(
        model=model,
        blocks=tuple(_block(block) for block in blocks_of(model.transformer_blocks)),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=patches(latents, (model.config.patch_size,) * 2, model.inner_dim),
        grid=patch_grid(latents, (model.config.patch_size,) * 2),
        pairs=guided(latents),
        conditions=sizes,
        embed=embed,
        conditioned=model.use_additional_conditions,
    )


def _block(block: Any) -> BlockDescription:
    check_not_chunked(block)
    embedded = named_input(block, "timestep")  # [B, 6 D], by the model
    names = "attention_mask", "encoder_hidden_states", "encoder_attention_mask"
    mask, text, text_mask = (named_input(block, name) for name in names)
    more = named_input(block, "cross_attention_kwargs")

    def attend(tokens: Tensor, args: Args, kwargs: Kwargs) -> Tensor:
        given = {"attention_mask": mask(args, kwargs), **(more(args, kwargs) or {})}
        out: Tensor = block.attn1(tokens, **given)
        return out

    def read_text(tokens: Tensor, args: Args, kwargs: Kwargs) -> Tensor:
        given = {"attention_mask": text_mask(args, kwargs), **(more(args, kwargs) or {})}
        out: Tensor = block.attn2(tokens, text(args, kwargs), **given)
        return out

    def rows(args: Args, kwargs: Kwargs) -> Tensor:
        found: Tensor = embedded(args, kwargs).unflatten(-1, (6, -1))
        return found

    return table_block(block, block.ff, block.norm2, rows, (attend, read_text))
