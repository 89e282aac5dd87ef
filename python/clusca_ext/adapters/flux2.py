"""diffusers' FLUX.2: ``Flux2Transformer2DModel``, double-stream blocks, then single-stream ones.

All blocks of a kind share one modulation, which the model passes in. A single-stream block runs on
text, then image, as one stream: only the image's part of it is right on cached steps, and only that
is read. Tokens are therefore clustered after the last double-stream block.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    ModelDescription,
    Modulation,
    SharedGates,
    whole,
)
from clusca_ext.adapters.inputs import named_input
from clusca_ext.adapters.parts import (
    attention,
    blocks_of,
    conditions,
    describe_block,
    embed_rows,
    mlp,
    six,
)
from clusca_ext.adapters.shapes import behind_first, position_grid, tokens

MODEL = "Flux2Transformer2DModel"
Embedded = tuple[Tensor, Tensor]  # modulation of double-stream and single-stream blocks


def describe(model: Any) -> ModelDescription:
    *double, last = [_double(block) for block in blocks_of(model.transformer_blocks)]
    double = [*double, dataclasses.replace(last, hands_on=False)]  # then text joins the stream
    text = named_input(model, "encoder_hidden_states")

    def text_tokens(args: Args, kwargs: Kwargs) -> int:
        return len(text(args, kwargs)[0])

    single = [_single(block, text_tokens) for block in blocks_of(model.single_transformer_blocks)]
    hidden_states, positions = named_input(model, "hidden_states"), named_input(model, "img_ids")
    kv_cache_mode = named_input(model, "kv_cache_mode")

    def latents(args: Args, kwargs: Kwargs) -> Any:
        mode = kv_cache_mode(args, kwargs)
        if mode is not None:
            raise ValueError(
                "kv_cache_mode must be None: a cache of reference tokens cannot be combined with "
                f"cached features, got {mode!r}"
            )
        return hidden_states(args, kwargs)

    def embed(timesteps: Tensor, given: tuple[Tensor, ...], dtype: torch.dtype) -> Embedded:
        def rows(timestep: Tensor, *guidance: Tensor) -> Tensor:
            scaled = [
                each.to(dtype) * 1000
                for each in (timestep, *(guidance or (None,)))
                if each is not None
            ]
            made: Tensor = model.time_guidance_embed(*scaled, *[None] * (2 - len(scaled)))
            return made

        temb = embed_rows(rows, timesteps, given)
        return model.double_stream_modulation_img(temb), model.single_stream_modulation(temb)

    last_double = len(double) - 1
    return ModelDescription(
        model=model,
        blocks=(*double, *single),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=tokens(latents, model.inner_dim),
        grid=position_grid(positions),
        around=behind_first(positions),
        sources={"last": last_double, "last_double": last_double},
        conditions=conditions(model, "guidance"),
        embed=embed,
        given_timestep=lambda timestep, dtype: timestep.to(dtype) / 1000,
    )


def _double(block: Any) -> BlockDescription:
    values = _values(block, "temb_mod_img", 6)
    described = describe_block(
        block,
        (attention(block.attn), mlp(block.ff, block.norm2)),
        lambda args, kwargs: six(values(args, kwargs)),
        "text, x",
        lambda embedded: six(embedded[0].chunk(6, dim=-1)),
    )

    def gates(args: Args, kwargs: Kwargs) -> dict[str, Tensor]:
        given = values(args, kwargs)
        return {"attn": given[2], "mlp": given[5]}

    shared = SharedGates(own=lambda: (None, None), rows=gates, of=("attn", "mlp"))
    return dataclasses.replace(described, shared=shared)


def _single(block: Any, text_tokens: Callable[[Args, Kwargs], int]) -> BlockDescription:
    values = _values(block, "temb_mod", 3)
    described = describe_block(
        block,
        (attention(block.attn, "attn", whole),),
        lambda args, kwargs: (Modulation(gate=values(args, kwargs)[2]),),
        plan=lambda embedded: (Modulation(gate=embedded[1].chunk(3, dim=-1)[2]),),
        beside=text_tokens,
    )
    shared = SharedGates(
        own=lambda: (None,),
        rows=lambda args, kwargs: {"single": values(args, kwargs)[2]},
        of=("single",),
    )
    return dataclasses.replace(described, shared=shared, other="hidden_states")


def _values(block: Any, name: str, count: int) -> Callable[[Args, Kwargs], Sequence[Tensor]]:
    """The modulation given to a block, for every row of the batch: ``count`` of [B, D]."""
    given, x = named_input(block, name), named_input(block, "hidden_states")

    def values(args: Args, kwargs: Kwargs) -> Sequence[Tensor]:
        B = len(x(args, kwargs))
        rows = given(args, kwargs).flatten(1)  # a batch of one modulates all rows
        chunks: Sequence[Tensor] = rows.expand(B, -1).chunk(count, dim=-1)
        return chunks

    return values
