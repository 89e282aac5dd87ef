"""diffusers' Z-Image: ``ZImageTransformer2DModel``.

The stream is image and text; what attention and the MLP return is normalised before its gate, and
that is cached. Refiners, in front of it, run at every step. The model is given lists of samples and
a time that rises: to the cache it is -t, which descends as the scheduler's timesteps do.
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
    ModuleDescription,
    whole,
)
from clusca_ext.adapters.inputs import named_input
from clusca_ext.adapters.parts import attention, blocks_of, conditions

MODEL = "ZImageTransformer2DModel"
MULTIPLE = 32  # image and text are padded to it


def describe(model: Any) -> ModelDescription:
    samples, time = named_input(model, "x"), named_input(model, "t")
    text = named_input(model, "cap_feats")
    size, frames = named_input(model, "patch_size"), named_input(model, "f_patch_size")

    def latents(args: Args, kwargs: Kwargs) -> Any:
        first = samples(args, kwargs)[0]
        if not isinstance(first, Tensor):
            raise ValueError(
                "x must be a list of tensors: several images a sample (omni mode, with noise "
                f"masks) are not supported, got a list of {type(first).__name__}"
            )
        return first

    def stream_shape(args: Args, kwargs: Kwargs) -> tuple[int, int, int]:
        images, prompts = samples(args, kwargs), text(args, kwargs)
        p, p_f = size(args, kwargs) or 2, frames(args, kwargs) or 1
        lengths = [
            _padded(image[0, ::p_f, ::p, ::p].numel()) + _padded(len(prompt))
            for image, prompt in zip(images, prompts, strict=True)
        ]
        return len(images), max(lengths), model.config.dim

    def grid(args: Args, kwargs: Kwargs) -> tuple[int, ...]:
        """Of all images, if they are of one size: text and padding follow them."""
        p, p_f = size(args, kwargs) or 2, frames(args, kwargs) or 1
        first, *others = [tuple(image[0, ::p_f, ::p, ::p].shape) for image in samples(args, kwargs)]
        return first if all(each == first for each in others) else ()

    def around(args: Args, kwargs: Kwargs) -> tuple[int, int]:
        sides = grid(args, kwargs)
        return 0, stream_shape(args, kwargs)[1] - (math.prod(sides) if sides else 0)

    def pairs(pipeline: Any, args: Args, kwargs: Kwargs) -> tuple[str, ...]:
        # A pipeline that guides may stop doing so within a call: only the samples themselves tell.
        images = samples(args, kwargs)
        half = len(images) // 2
        guides = getattr(pipeline, "do_classifier_free_guidance", True) and len(images) == 2 * half
        return ("cond", "uncond") if guides and all(map(torch.equal, images, images[half:])) else ()

    def embed(timesteps: Tensor, given: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
        embedded: Tensor = model.t_embedder(-timesteps * model.t_scale)[:, None]
        return embedded.to(dtype)

    return ModelDescription(
        model=model,
        blocks=tuple(_block(block) for block in blocks_of(model.layers)),
        latents=latents,
        timestep=lambda args, kwargs: -time(args, kwargs),
        stream_shape=stream_shape,
        grid=grid,
        around=around,
        pairs=pairs,
        conditions=conditions(model),
        embed=embed,
        given_timestep=lambda timestep, dtype: -((1000 - timestep.to(dtype)) / 1000),
    )


def _padded(length: int) -> int:
    return -(-length // MULTIPLE) * MULTIPLE


def _block(block: Any) -> BlockDescription:
    stream, embedding = named_input(block, "x"), named_input(block, "adaln_input")

    def modulation(x: Tensor, args: Args, kwargs: Kwargs) -> Sequence[Modulation]:
        return plan(embedding(args, kwargs).expand(len(x), -1))

    def plan(embedded: Tensor) -> Sequence[Modulation]:
        _, gate, mlp_scale, mlp_gate = block.adaLN_modulation(embedded).chunk(4, dim=-1)
        return Modulation(gate=gate.tanh()), Modulation(scale=mlp_scale, gate=mlp_gate.tanh())

    def compute(rows: Tensor) -> Tensor:
        normalised: Tensor = block.ffn_norm2(block.feed_forward(rows))
        return normalised

    mlp = ModuleDescription(
        name="mlp",
        module=block.ffn_norm2,
        norm=block.ffn_norm1,
        represents=True,
        call=lambda tokens, args, kwargs: compute(tokens),
        compute=compute,
    )
    return BlockDescription(
        block=block,
        modules=(attention(block.attention_norm2, "attn", whole), mlp),
        modulation=modulation,
        stream=stream,
        plan=plan,
        reads=block.attention,  # whose output is normalised, and that is cached
    )
