"""Blocks of diffusers' models on the paper's cached step, in plain torch. See paper_cache.py."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import silu

from paper_cache import PaperCache

Take = Callable[[Any], None]  # keeps what a module returned on a full step
Hooks = list[tuple[nn.Module, Take]]
Blocks = list[tuple[nn.Module, Callable[..., Any]]]  # and their forwards on cached steps
IMAGE, TEXT = "image", "text"


def described(model: Any, cache: PaperCache) -> tuple[Hooks, Blocks]:
    name = type(model).__name__
    if name == "DiTTransformer2DModel":
        return _dit(model, cache)
    if name == "FluxTransformer2DModel":
        return _joint(model, cache, text_first=True)
    if name == "HunyuanVideoTransformer3DModel":
        return _joint(model, cache, text_first=False)
    raise NotImplementedError(f"the paper's step is not written out for {name}")


def _mlp(
    cache: PaperCache,
    x: Tensor,
    stream: str,
    layer: int,
    layers: tuple[Any, Any],
    values: tuple[Tensor, ...],
) -> Tensor:
    """One stream after its MLP, whose representatives are computed."""
    (norm, mlp), (shift, scale, gate) = layers, values
    key = layer, f"{stream} mlp"

    def compute(rows: Tensor) -> Tensor:
        return mlp(norm(rows) * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1))

    cache.correct(x, stream, key, compute, spreads=stream == IMAGE)
    return cache.forecast(x, gate, key)


# ---- DiT


def _dit(model: Any, cache: PaperCache) -> tuple[Hooks, Blocks]:
    hooks: Hooks = []
    blocks: Blocks = []
    for layer, block in enumerate(model.transformer_blocks):
        hooks.append((block.attn1, partial(cache.keep, (layer, "attn"))))
        hooks.append((block.ff, partial(cache.keep, (layer, f"{IMAGE} mlp"))))
        blocks.append((block, partial(_dit_block, cache, layer, block)))
    hooks.append((block, partial(cache.cluster, IMAGE)))  # the last one
    return hooks, blocks


def _dit_block(
    cache: PaperCache, layer: int, block: Any, x: Tensor, timestep: Any, class_labels: Any, **_: Any
) -> Tensor:
    emb = block.norm1.emb(timestep, class_labels, hidden_dtype=x.dtype)
    _, _, gate, *of_mlp = block.norm1.linear(silu(emb)).chunk(6, dim=1)
    x = cache.forecast(x, gate, (layer, "attn"))
    return _mlp(cache, x, IMAGE, layer, (block.norm3, block.ff), tuple(of_mlp))


# ---- FLUX and HunyuanVideo: double-stream blocks, then single-stream ones


def _joint(model: Any, cache: PaperCache, text_first: bool) -> tuple[Hooks, Blocks]:
    hooks: Hooks = []
    blocks: Blocks = []
    double = list(model.transformer_blocks)

    def of_both(layer: int, output: Any) -> None:
        cache.keep((layer, f"{IMAGE} attn"), output[0])
        cache.keep((layer, f"{TEXT} attn"), output[1])

    def source(output: Any) -> None:
        text, image = output if text_first else reversed(output)
        cache.cluster(IMAGE, image)
        cache.cluster(TEXT, text)

    for layer, block in enumerate(double):
        hooks.append((block.attn, partial(of_both, layer)))
        hooks.append((block.ff, partial(cache.keep, (layer, f"{IMAGE} mlp"))))
        hooks.append((block.ff_context, partial(cache.keep, (layer, f"{TEXT} mlp"))))
        blocks.append((block, partial(_double, cache, layer, block, text_first)))
    hooks.append((double[-1], source))
    for layer, block in enumerate(model.single_transformer_blocks, start=len(double)):
        hooks.append((block.proj_out, partial(cache.keep, (layer, "out"))))
        blocks.append((block, partial(_single, cache, layer, block, text_first)))
    return hooks, blocks


def _double(
    cache: PaperCache,
    layer: int,
    block: Any,
    text_first: bool,
    hidden_states: Tensor,
    encoder_hidden_states: Tensor,
    temb: Tensor,
    *_: Any,
    **__: Any,
) -> tuple[Tensor, Tensor]:
    def stream(x: Tensor, name: str, ada: Any, *layers: Any) -> Tensor:
        _, _, gate, *of_mlp = ada.linear(silu(temb)).chunk(6, dim=1)
        x = cache.forecast(x, gate, (layer, f"{name} attn"))
        return _mlp(cache, x, name, layer, layers, tuple(of_mlp))

    image = stream(hidden_states, IMAGE, block.norm1, block.norm2, block.ff)
    text = stream(
        encoder_hidden_states, TEXT, block.norm1_context, block.norm2_context, block.ff_context
    )
    return (text, image) if text_first else (image, text)


def _single(
    cache: PaperCache,
    layer: int,
    block: Any,
    text_first: bool,
    hidden_states: Tensor,
    encoder_hidden_states: Tensor,
    temb: Tensor,
    *_: Any,
    **__: Any,
) -> tuple[Tensor, Tensor]:
    """Forecast only. Both streams lie in one feature; each takes its part of it, none is copied."""
    gate = block.norm.linear(silu(temb)).chunk(3, dim=1)[2]
    distance, factors = cache.step - cache.last, cache.factors[layer, "out"]
    T, N = encoder_hidden_states.shape[1], hidden_states.shape[1]
    sizes = (T, N) if text_first else (N, T)
    first, second = (
        {order: factor.split(sizes, dim=1)[part] for order, factor in factors.items()}
        for part in (0, 1)
    )
    of_text, of_image = (first, second) if text_first else (second, first)
    text = cache.add(encoder_hidden_states, gate, of_text, distance)
    image = cache.add(hidden_states, gate, of_image, distance)
    return (text, image) if text_first else (image, text)
