"""What the blocks of diffusers have in common: short words for descriptions."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    Modulation,
    ModuleDescription,
    whole,
)
from clusca_ext.adapters.inputs import named_input


def blocks_of(blocks: Any) -> list[Any]:
    """The blocks themselves, whether compiled or not."""
    return [getattr(block, "_orig_mod", block) for block in blocks]


def of_image(output: Any, N: int) -> Tensor:
    """Of joint attention: what it adds to the image; what it adds to the text comes second."""
    feature: Tensor = output[0]
    return feature


def last_tokens(output: Tensor, N: int) -> Tensor:
    """Of a module that runs on text, then image."""
    return output[:, -N:]


def first_tokens(output: Tensor, N: int) -> Tensor:
    """Of a module that runs on image, then text."""
    return output[:, :N]


def attention(
    module: nn.Module,
    name: str = "attn",
    feature: Callable[[Any, int], Tensor] = of_image,
    norm: nn.Module | None = None,
    call: Callable[[Tensor, Args, Kwargs], Tensor] | None = None,
) -> ModuleDescription:
    """Attention, or another module that representatives do not go through.

    Args:
        module: The module.
        name: Its name.
        feature: As in ``ModuleDescription``.
        norm: The norm in front of it; read where a mask computes it.
        call: As in ``ModuleDescription``; None: what it reads is made of the block's inputs, text
            among them, and a mask computes it by the block's own forward.
    """
    return ModuleDescription(
        name=name,
        module=module,
        norm=norm,
        represents=False,
        call=call,
        feature=feature,
        reads_input=call is None,
    )


def mlp(
    module: Any,
    norm: nn.Module | None,
    feature: Callable[[Any, int], Tensor] = whole,
    compute: Callable[[Tensor], Tensor] | None = None,
) -> ModuleDescription:
    """An MLP of its own, behind a norm: representatives go through it."""
    return ModuleDescription(
        name="mlp",
        module=module,
        norm=norm,
        represents=True,
        call=(lambda tokens, args, kwargs: module(tokens)) if feature is whole else None,
        feature=feature,
        compute=compute,
    )


def six(values: Sequence[Tensor]) -> tuple[Modulation, Modulation]:
    """Shift, scale and gate of attention, then of the MLP."""
    return Modulation(*values[:3]), Modulation(*values[3:])


def by_kinds(of_kinds: Sequence[Modulation], is_second: Tensor) -> Sequence[Modulation]:
    """Modulation of two kinds of tokens, [B, 2, D], by token: whether it is of the second kind.

    Args:
        of_kinds: The modulation of both kinds, of every module.
        is_second: [B or 1, N] bool
    """
    kinds = is_second.long()
    return [each._replace(kinds=kinds) for each in of_kinds]


def describe_block(
    block: Any,
    modules: tuple[ModuleDescription, ...],
    modulation: Callable[[Args, Kwargs], Sequence[Modulation]],
    returns: str = "x",
    plan: Callable[[Any], Sequence[Modulation]] | None = None,
    beside: Callable[[Args, Kwargs], int] = lambda args, kwargs: 0,
    hands_on: bool = True,
) -> BlockDescription:
    """A block whose stream is ``hidden_states``.

    Args:
        block: The block.
        modules: Its cached modules.
        modulation: One for each of them, from the block's inputs.
        returns: ``"x"``, ``"text, x"`` or ``"x, text"``. Text is returned as it came: on cached
            steps nothing attends to it.
        plan: As in ``BlockDescription``.
        beside: As in ``BlockDescription``.
        hands_on: As in ``BlockDescription``.
    """
    text = named_input(block, "encoder_hidden_states")

    def give(x: Tensor, args: Args, kwargs: Kwargs) -> Any:
        if returns == "x":
            return x
        both = (text(args, kwargs), x)
        return both if returns == "text, x" else both[::-1]

    return BlockDescription(
        block=block,
        modules=modules,
        modulation=lambda x, args, kwargs: modulation(args, kwargs),
        stream=named_input(block, "hidden_states"),
        returned=lambda output: (
            output if returns == "x" else output[returns.split(", ").index("x")]
        ),
        returns=give,
        plan=plan,
        beside=beside,
        clips=True,
        hands_on=hands_on,
        other=None if returns == "x" else "encoder_hidden_states",
    )


def adaptive_block(
    block: Any,
    modules: tuple[ModuleDescription, ...],
    modulation: Callable[[Tensor], Sequence[Modulation]],
    returns: str,
) -> BlockDescription:
    """A block whose modulation is its own layer's, of an embedding ``temb``: it can be planned.

    Args:
        block: The block.
        modules: Its cached modules.
        modulation: One for each of them, from embeddings of a step [B, D], or of many [S, B, D].
        returns: As in ``describe_block``.
    """
    temb = named_input(block, "temb")
    return describe_block(
        block, modules, lambda args, kwargs: modulation(temb(args, kwargs)), returns, modulation
    )


def conditions(model: Any, *names: str) -> Callable[[Args, Kwargs], tuple[Tensor, ...] | None]:
    """Inputs a model is given; None where LoRAs are scaled, which is so during its call only."""
    inputs = [named_input(model, name) for name in names]

    def find(args: Args, kwargs: Kwargs) -> tuple[Tensor, ...] | None:
        for name in ("attention_kwargs", "joint_attention_kwargs"):
            if (kwargs.get(name) or {}).get("scale", 1) != 1:
                return None
        found = (each(args, kwargs) for each in inputs)
        return tuple(tensor for tensor in found if tensor is not None)

    return find


def embed_rows(
    embed: Callable[..., Tensor], timesteps: Tensor, conditions: Sequence[Tensor]
) -> Tensor:
    """What a model embeds row by row, of S timesteps under conditions [B, ...]. [S, B, D]"""
    S, B = len(timesteps), len(conditions[0]) if conditions else 1
    repeated = (t.expand(B, *t.shape[1:]).repeat(S, *[1] * (t.dim() - 1)) for t in conditions)
    return embed(timesteps.repeat_interleave(B), *repeated).view(S, B, -1)


def guided(
    latents: Callable[[Args, Kwargs], Any],
) -> Callable[[Any, Args, Kwargs], tuple[str, ...]]:
    """Rows of a pipeline that puts the unconditional ones first, and at last those of perturbed
    attention (PAG).

    Where the pipeline does not say whether it guides, the latents of both halves tell: once a run.
    """

    def pairs(pipeline: Any, args: Args, kwargs: Kwargs) -> tuple[str, ...]:
        rows = latents(args, kwargs)
        perturbs = bool(getattr(pipeline, "do_perturbed_attention_guidance", False))
        guides = getattr(pipeline, "do_classifier_free_guidance", None)
        if guides is None and (scale := getattr(pipeline, "guidance_scale", None)) is not None:
            guides = scale > 1
        if guides is None:
            first, *others = rows.chunk(2 + perturbs)
            guides = len(rows) % (2 + perturbs) == 0 and all(torch.equal(first, o) for o in others)
        names = ("uncond",) * bool(guides) + ("cond",) + ("perturbed",) * perturbs
        return names if len(names) > 1 and len(rows) % len(names) == 0 else ()

    return pairs


def check_not_chunked(block: Any) -> None:
    if block._chunk_size is not None:
        raise ValueError(
            "a chunked feed-forward cannot be cached: call set_chunk_feed_forward(None), "
            f"got a chunk size of {block._chunk_size}"
        )


def timestep_by_token(model: Any) -> Callable[[Args, Kwargs], bool]:
    """Whether every token has a timestep of its own, [B, N]."""
    timestep = named_input(model, "timestep")

    def by_token(args: Args, kwargs: Kwargs) -> bool:
        given = timestep(args, kwargs)
        return isinstance(given, Tensor) and given.dim() == 2 and given.shape[1] > 1

    return by_token


def unless_by_token(
    model: Any, find: Callable[[Args, Kwargs], tuple[Tensor, ...] | None]
) -> Callable[[Args, Kwargs], tuple[Tensor, ...] | None]:
    """Conditions of modulation that is not planned where tokens have timesteps of their own."""
    by_token = timestep_by_token(model)
    return lambda args, kwargs: None if by_token(args, kwargs) else find(args, kwargs)
