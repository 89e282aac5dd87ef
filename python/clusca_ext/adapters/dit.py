"""diffusers' DiT: ``DiTTransformer2DModel``, blocks of attention and MLP with adaLN-Zero."""

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
)
from clusca_ext.adapters.inputs import named_input
from clusca_ext.adapters.parts import (
    blocks_of,
    check_not_chunked,
    mlp,
    six,
)
from clusca_ext.adapters.shapes import patch_grid, patches

MODEL = "DiTTransformer2DModel"


def describe(model: Any) -> ModelDescription:
    latents, labels = named_input(model, "hidden_states"), named_input(model, "class_labels")
    return ModelDescription(
        model=model,
        blocks=tuple(_block(block) for block in blocks_of(model.transformer_blocks)),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=patches(latents, (model.patch_size,) * 2, model.inner_dim),
        grid=patch_grid(latents, (model.patch_size,) * 2),
        pairs=lambda pipeline, args, kwargs: _pairs(model, labels(args, kwargs)),
        conditions=lambda args, kwargs: (labels(args, kwargs),),
    )


def _block(block: Any) -> BlockDescription:
    check_not_chunked(block)

    def modulation(x: Tensor, args: Args, kwargs: Kwargs) -> Sequence[Modulation]:
        timestep, labels = kwargs["timestep"], kwargs["class_labels"]
        return six(_modulated(block.norm1, timestep, labels, x.dtype).chunk(6, dim=1))

    def plan(inputs: tuple[Tensor, tuple[Tensor], torch.dtype]) -> Sequence[Modulation]:
        timesteps, (labels,), dtype = inputs  # every block embeds them itself
        classes, row = _distinct(labels)
        S, C = len(timesteps), len(classes)
        planned = _modulated(block.norm1, timesteps.repeat_interleave(C), classes.repeat(S), dtype)
        return six(planned.view(S, C, -1)[:, row].chunk(6, dim=2))

    def attention(tokens: Tensor, args: Args, kwargs: Kwargs) -> Tensor:
        extra = kwargs.get("cross_attention_kwargs") or {}
        out: Tensor = block.attn1(tokens, attention_mask=kwargs.get("attention_mask"), **extra)
        return out

    attn = ModuleDescription(
        name="attn",
        module=block.attn1,
        norm=block.norm1.norm,
        represents=False,
        call=attention,
    )
    modules = (attn, mlp(block.ff, block.norm3))
    return BlockDescription(
        block=block, modules=modules, modulation=modulation, plan=plan, hands_on=True
    )


def _modulated(ada: Any, timestep: Tensor, labels: Tensor, dtype: torch.dtype) -> Tensor:
    """Shifts, scales and gates of a block, row by row. [B, 6 D]"""
    out: Tensor = ada.linear(ada.silu(ada.emb(timestep, labels, hidden_dtype=dtype)))
    return out


def _distinct(labels: Tensor) -> tuple[Tensor, Tensor | slice]:
    """Labels, and which of them is a row's: each once, where that can be seen without waiting."""
    if labels.is_cuda:
        return labels, slice(None)
    distinct, row = labels.unique(return_inverse=True)
    return distinct, row


def _pairs(model: Any, labels: Any) -> tuple[str, ...]:
    """Guidance batches a sample twice, once with the null class; the labels say in which order."""
    if labels is None or len(labels) % 2:
        return ()
    null = torch.as_tensor(labels) == model.config.num_embeds_ada_norm
    first, second = (bool(half.all()) for half in null.chunk(2))
    if first == second:
        return ()
    return ("uncond", "cond") if first else ("cond", "uncond")
