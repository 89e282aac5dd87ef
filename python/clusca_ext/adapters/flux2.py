"""diffusers' FLUX.2: ``Flux2Transformer2DModel``, double-stream blocks, then single-stream ones.

All blocks of a kind share one modulation, which the model passes in. A single-stream block runs on
text, then image, as one stream: only the image's part of it is right on cached steps, and only that
is read. Tokens are therefore clustered after the last double-stream block.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    ModelDescription,
    Modulation,
    named_input,
    whole,
)
from clusca_ext.adapters.parts import attention, blocks_of, describe_block, mlp, six, tokens

MODEL = "Flux2Transformer2DModel"


def describe(model: Any) -> ModelDescription:
    *double, last = [_double(block) for block in blocks_of(model.transformer_blocks)]
    double = [*double, dataclasses.replace(last, hands_on=False)]  # then text joins the stream
    text = named_input(model, "encoder_hidden_states")

    def text_tokens(args: Args, kwargs: Kwargs) -> int:
        return len(text(args, kwargs)[0])

    single = [_single(block, text_tokens) for block in blocks_of(model.single_transformer_blocks)]
    hidden_states = named_input(model, "hidden_states")
    kv_cache_mode = named_input(model, "kv_cache_mode")

    def latents(args: Args, kwargs: Kwargs) -> Any:
        mode = kv_cache_mode(args, kwargs)
        if mode is not None:
            raise ValueError(
                "kv_cache_mode must be None: a cache of reference tokens cannot be combined with "
                f"cached features, got {mode!r}"
            )
        return hidden_states(args, kwargs)

    last_double = len(double) - 1
    return ModelDescription(
        model=model,
        blocks=(*double, *single),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=tokens(latents, model.inner_dim),
        sources={"last": last_double, "last_double": last_double},
    )


def _double(block: Any) -> BlockDescription:
    values = _values(block, "temb_mod_img", 6)
    return describe_block(
        block,
        (attention(block.attn), mlp(block.ff, block.norm2)),
        lambda args, kwargs: six(values(args, kwargs)),
        "text, x",
    )


def _single(block: Any, text_tokens: Callable[[Args, Kwargs], int]) -> BlockDescription:
    values = _values(block, "temb_mod", 3)
    return describe_block(
        block,
        (attention(block.attn, "attn", whole),),
        lambda args, kwargs: (Modulation(gate=values(args, kwargs)[2]),),
        beside=text_tokens,
    )


def _values(block: Any, name: str, count: int) -> Callable[[Args, Kwargs], Sequence[Tensor]]:
    """The modulation given to a block, for every row of the batch: ``count`` of [B, D]."""
    given, x = named_input(block, name), named_input(block, "hidden_states")

    def values(args: Args, kwargs: Kwargs) -> Sequence[Tensor]:
        B = len(x(args, kwargs))
        rows = given(args, kwargs).flatten(1)  # a batch of one modulates all rows
        chunks: Sequence[Tensor] = rows.expand(B, -1).chunk(count, dim=-1)
        return chunks

    return values
