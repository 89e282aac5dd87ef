"""diffusers' HunyuanVideo: ``HunyuanVideoTransformer3DModel``, text and image to video.

As FLUX.1, with the video in front of the text. Where the first frame is given (token replacement),
its tokens have modulations of their own.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    ModelDescription,
    Modulation,
    named_input,
)
from clusca_ext.adapters.parts import (
    attention,
    blocks_of,
    describe_block,
    first_tokens,
    mlp,
    patches,
    six,
)

MODEL = "HunyuanVideoTransformer3DModel"


def describe(model: Any) -> ModelDescription:
    double = [_double(block) for block in blocks_of(model.transformer_blocks)]
    single = [_single(block) for block in blocks_of(model.single_transformer_blocks)]
    latents, config = named_input(model, "hidden_states"), model.config
    size = (config.patch_size_t, config.patch_size, config.patch_size)
    channels = config.num_attention_heads * config.attention_head_dim
    return ModelDescription(
        model=model,
        blocks=(*double, *single),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=patches(latents, size, channels),
        by_token=lambda args, kwargs: any(_replaces_first(block.block) for block in double),
        sources={"last_double": len(double) - 1},
    )


def _double(block: Any) -> BlockDescription:
    values = _values(block, block.norm1.linear)
    return describe_block(
        block,
        (attention(block.attn), mlp(block.ff, block.norm2)),
        lambda args, kwargs: six(values(args, kwargs).chunk(6, dim=-1)),
        "x, text",
    )


def _single(block: Any) -> BlockDescription:
    values = _values(block, block.norm.linear)

    def modulation(args: Args, kwargs: Kwargs) -> Sequence[Modulation]:
        return (Modulation(gate=values(args, kwargs).chunk(3, dim=-1)[2]),)

    return describe_block(
        block, (attention(block.proj_out, "out", first_tokens),), modulation, "x, text"
    )


def _replaces_first(block: Any) -> bool:
    return "TokenReplace" in type(block).__name__


def _values(block: Any, linear: nn.Module) -> Any:
    """All modulations of a block, [B, M D]; where the first frame has its own, [B, N, M D]."""
    temb, x = named_input(block, "temb"), named_input(block, "hidden_states")
    of_first = named_input(block, "token_replace_emb")
    tokens_of_first = named_input(block, "num_tokens")

    def values(args: Args, kwargs: Kwargs) -> Tensor:
        others: Tensor = linear(nn.functional.silu(temb(args, kwargs)))
        if not _replaces_first(block):
            return others
        first = linear(nn.functional.silu(of_first(args, kwargs)))
        N, count = x(args, kwargs).shape[1], tokens_of_first(args, kwargs)
        return torch.cat(
            [
                first.unsqueeze(1).expand(-1, count, -1),
                others.unsqueeze(1).expand(-1, N - count, -1),
            ],
            dim=1,
        )

    return values
