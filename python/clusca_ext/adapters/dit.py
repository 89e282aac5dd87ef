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
    named_input,
)
from clusca_ext.adapters.parts import blocks_of, check_not_chunked, mlp, patches, six

MODEL = "DiTTransformer2DModel"


def describe(model: Any) -> ModelDescription:
    latents, labels = named_input(model, "hidden_states"), named_input(model, "class_labels")
    return ModelDescription(
        model=model,
        blocks=tuple(_block(block) for block in blocks_of(model.transformer_blocks)),
        latents=latents,
        timestep=named_input(model, "timestep"),
        stream_shape=patches(latents, (model.patch_size,) * 2, model.inner_dim),
        pairs=lambda pipeline, args, kwargs: _pairs(model, labels(args, kwargs)),
        conditions=lambda args, kwargs: (labels(args, kwargs),),
    )


def _block(block: Any) -> BlockDescription:
    check_not_chunked(block)

    def modulation(x: Tensor, args: Args, kwargs: Kwargs) -> Sequence[Modulation]:
        return _modulation(block.norm1, kwargs["timestep"], kwargs["class_labels"], x.dtype)

    def plan(inputs: tuple[Tensor, tuple[Tensor], torch.dtype]) -> Sequence[Modulation]:
        timesteps, (labels,), dtype = inputs  # every block embeds them itself
        S, B = len(timesteps), len(labels)
        planned = _modulation(block.norm1, timesteps.repeat_interleave(B), labels.repeat(S), dtype)
        return [Modulation(*(t.view(S, B, -1) for t in each if t is not None)) for each in planned]

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


def _modulation(
    ada: Any, timestep: Tensor, labels: Tensor, dtype: torch.dtype
) -> tuple[Modulation, Modulation]:
    emb = ada.emb(timestep, labels, hidden_dtype=dtype)
    return six(ada.linear(ada.silu(emb)).chunk(6, dim=1))


def _pairs(model: Any, labels: Any) -> tuple[str, ...]:
    """Guidance batches a sample twice, once with the null class; the labels say in which order."""
    if labels is None or len(labels) % 2:
        return ()
    null = torch.as_tensor(labels) == model.config.num_embeds_ada_norm
    first, second = (bool(half.all()) for half in null.chunk(2))
    if first == second:
        return ()
    return ("uncond", "cond") if first else ("cond", "uncond")
