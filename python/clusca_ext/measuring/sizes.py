"""A model at a size in pixels: what its pipeline would give it, from its class and configuration.

Text is as long as pipelines pad it to. Rows of guidance come as pipelines bring them: in one batch,
or in calls of their own, which are ``branches``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clusca_ext.measuring.models import Model, dit, flux, hunyuan_video, video_size, wan

Random = Callable[..., Tensor]
Make = Callable[[Mapping[str, Any], int, int, int], Model]  # of config, width, height, frames


@dataclass(frozen=True)
class Sized:
    """How a class of models is sized.

    Attributes:
        make: Of its configuration, width, height and frames.
        width: Its usual one, in pixels.
        height: The same.
        frames: The same, of a video; 1: it draws pictures.
        branches: Calls of the model at a step, under guidance.
    """

    make: Make
    width: int
    height: int
    frames: int = 1
    branches: int = 1


def _flux(config: Mapping[str, Any], width: int, height: int, frames: int) -> Model:
    joint, pooled = (
        config.get("joint_attention_dim", 4096),
        config.get("pooled_projection_dim", 768),
    )
    return flux((height // 16, width // 16), 512, joint, pooled, **config)


def _hunyuan(config: Mapping[str, Any], width: int, height: int, frames: int) -> Model:
    joint, pooled = config.get("text_embed_dim", 4096), config.get("pooled_projection_dim", 768)
    return hunyuan_video(frames, height, width, 256, joint, pooled, **config)


def _wan(config: Mapping[str, Any], width: int, height: int, frames: int) -> Model:
    return wan(frames, height, width, **config)


def _dit(config: Mapping[str, Any], width: int, height: int, frames: int) -> Model:
    side = config.get("sample_size", 32)
    if (width, height) != (8 * side, 8 * side):
        raise ValueError(
            f"size must be {8 * side}x{8 * side}, the only one of this model, got {width}x{height}"
        )
    return dit(8 * side, 1, **config)


def _pixart(config: Mapping[str, Any], width: int, height: int, frames: int) -> Model:
    caption = config.get("caption_channels") or config.get("cross_attention_dim", 1152)
    asks = config.get("use_additional_conditions")
    asks = config.get("sample_size", 128) == 128 if asks is None else asks

    def inputs(random: Random) -> dict[str, Any]:
        added: dict[str, Any] = {"resolution": None, "aspect_ratio": None}
        if asks:
            added = {"resolution": random(2, 2), "aspect_ratio": random(2, 1)}
        return {"encoder_hidden_states": random(2, 120, caption), "added_cond_kwargs": added}

    return _of_latents("PixArtTransformer2DModel", config, 4, (height, width), 2, inputs)


def _sd3(config: Mapping[str, Any], width: int, height: int, frames: int) -> Model:
    joint = config.get("joint_attention_dim", 4096)
    pooled = config.get("pooled_projection_dim", 2048)

    def inputs(random: Random) -> dict[str, Any]:
        return {
            "encoder_hidden_states": random(2, 333, joint),
            "pooled_projections": random(2, pooled),
        }

    return _of_latents("SD3Transformer2DModel", config, 16, (height, width), 2, inputs)


def _of_latents(
    name: str,
    config: Mapping[str, Any],
    channels: int,
    pixels: tuple[int, int],
    rows: int,
    inputs: Callable[[Random], dict[str, Any]],
) -> Model:
    """Of patches of two by two of an autoencoder that makes one of eight by eight pixels."""
    height, width = (side // 8 for side in pixels)
    shape = (rows, config.get("in_channels", channels), height, width)
    return Model(name, shape, (height // 2) * (width // 2), inputs, None, dict(config))


def _qwen(config: Mapping[str, Any], width: int, height: int, frames: int) -> Model:
    rows, columns, text = height // 16, width // 16, 512
    joint = config.get("joint_attention_dim", 3584)

    def inputs(random: Random) -> dict[str, Any]:
        like = random(1, text, joint)
        return {
            "encoder_hidden_states": like,
            "encoder_hidden_states_mask": torch.ones(1, text, dtype=torch.long, device=like.device),
            "img_shapes": [[(1, rows, columns)]],
        }

    shape = (1, rows * columns, config.get("in_channels", 64))
    name = "QwenImageTransformer2DModel"
    return Model(name, shape, rows * columns, inputs, None, dict(config), divisor=1000.0)


def _cogvideox(config: Mapping[str, Any], width: int, height: int, frames: int) -> Model:
    size = video_size(frames, height, width)
    joint, text = config.get("text_embed_dim", 4096), config.get("max_text_seq_length", 226)
    head = config.get("attention_head_dim", 64)
    tokens = size[0] * (size[1] // 2) * (size[2] // 2)

    def inputs(random: Random) -> dict[str, Any]:
        given: dict[str, Any] = {"encoder_hidden_states": random(2, text, joint)}
        if config.get("use_rotary_positional_embeddings"):
            given["image_rotary_emb"] = (random(tokens, head), random(tokens, head))
        return given

    shape = (2, size[0], config.get("in_channels", 16), *size[1:])
    return Model("CogVideoXTransformer3DModel", shape, tokens, inputs, None, dict(config))


def _ltx(config: Mapping[str, Any], width: int, height: int, frames: int) -> Model:
    size = (frames - 1) // 8 + 1, height // 32, width // 32
    tokens = size[0] * size[1] * size[2]

    def inputs(random: Random) -> dict[str, Any]:
        like = random(2, 128, config.get("caption_channels", 4096))
        sides = dict(zip(("num_frames", "height", "width"), size, strict=True))
        mask = torch.ones(2, 128, device=like.device)
        return {"encoder_hidden_states": like, "encoder_attention_mask": mask, **sides}

    shape = (2, tokens, config.get("in_channels", 128))
    return Model("LTXVideoTransformer3DModel", shape, tokens, inputs, None, dict(config))


def _mochi(config: Mapping[str, Any], width: int, height: int, frames: int) -> Model:
    size = (frames - 1) // 6 + 1, height // 8, width // 8
    text = config.get("max_sequence_length", 256)

    def inputs(random: Random) -> dict[str, Any]:
        like = random(2, text, config.get("text_embed_dim", 4096))
        mask = torch.ones(2, text, device=like.device)
        return {"encoder_hidden_states": like, "encoder_attention_mask": mask}

    shape = (2, config.get("in_channels", 12), *size)
    tokens = size[0] * (size[1] // 2) * (size[2] // 2)
    return Model("MochiTransformer3DModel", shape, tokens, inputs, None, dict(config))


SIZES = {
    "FluxTransformer2DModel": Sized(_flux, 1024, 1024),
    "HunyuanVideoTransformer3DModel": Sized(_hunyuan, 1280, 720, 129),
    "WanTransformer3DModel": Sized(_wan, 1280, 720, 81, branches=2),
    "DiTTransformer2DModel": Sized(_dit, 256, 256),
    "PixArtTransformer2DModel": Sized(_pixart, 1024, 1024),
    "SD3Transformer2DModel": Sized(_sd3, 1024, 1024),
    "QwenImageTransformer2DModel": Sized(_qwen, 1328, 1328, branches=2),
    "CogVideoXTransformer3DModel": Sized(_cogvideox, 720, 480, 49),
    "LTXVideoTransformer3DModel": Sized(_ltx, 704, 512, 161),
    "MochiTransformer3DModel": Sized(_mochi, 848, 480, 85),
}
# Checkpoints by name: class, and where their configuration is not the class's default.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "flux": ("FluxTransformer2DModel", {"guidance_embeds": True}),
    "hunyuan_video": ("HunyuanVideoTransformer3DModel", {}),
    "wan-14b": ("WanTransformer3DModel", {}),
    "wan-1.3b": (
        "WanTransformer3DModel",
        {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30},
    ),
    "dit-xl-2": ("DiTTransformer2DModel", {"num_layers": 28, "in_channels": 4, "out_channels": 8}),
    "pixart": ("PixArtTransformer2DModel", {"caption_channels": 4096}),
    "sd3": (
        "SD3Transformer2DModel",
        {
            "num_layers": 24,
            "num_attention_heads": 24,
            "caption_projection_dim": 1536,
            "pos_embed_max_size": 192,
        },
    ),
    "qwen-image": ("QwenImageTransformer2DModel", {}),
    "cogvideox-5b": (
        "CogVideoXTransformer3DModel",
        {"num_attention_heads": 48, "num_layers": 42, "use_rotary_positional_embeddings": True},
    ),
    "ltx": ("LTXVideoTransformer3DModel", {}),
    "mochi": ("MochiTransformer3DModel", {}),
}
