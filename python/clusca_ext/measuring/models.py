"""Models of real size with random weights, made on the device, and the inputs of one step.

Time and memory of a step do not depend on the values of weights; quality does, and is not measured.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import diffusers
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Model:
    """A model at a size.

    Attributes:
        cls: Its class in diffusers.
        latents: Shape of what is denoised.
        tokens: Tokens N of the stream.
        inputs: Its other inputs, given a factory of random tensors of a shape.
        paper: What ``ClusCaConfig.paper`` calls its family; None: it has none.
        config: Where it differs from the class's defaults, which are those of the checkpoint.
        divisor: What its pipeline divides a scheduler's timestep by.
        timestep_dtype: What its pipeline gives timesteps in; None: in that of the latents.
        rows: What its batch rows are under guidance, as ``enable_cache`` takes it.
        shares_gates: They are vectors of the blocks' own plus one that all blocks share.
        is_slow: A loop takes minutes: it is warmed up by a few steps.
        is_composed: Not even that: few steps are measured, and loops composed of them.
    """

    cls: str
    latents: tuple[int, ...]
    tokens: int
    inputs: Callable[[Callable[..., Tensor]], dict[str, Any]]
    paper: str | None
    config: dict[str, Any] = field(default_factory=dict)
    divisor: float = 1.0
    timestep_dtype: torch.dtype | None = None
    rows: tuple[str, ...] = ()
    shares_gates: bool = False
    is_slow: bool = False
    is_composed: bool = False

    @property
    def size(self) -> str:
        return f"B{self.latents[0]} N{self.tokens}"


def flux(
    side: int | tuple[int, int], text: int, joint: int = 4096, pooled: int = 768, **config: Any
) -> Model:
    """Of one side of the grid of tokens, or of its rows and columns."""
    rows, columns = (side, side) if isinstance(side, int) else side

    def inputs(random: Callable[..., Tensor]) -> dict[str, Any]:
        place = torch.arange(rows * columns)
        ids = torch.stack([torch.zeros_like(place), place // columns, place % columns], dim=1)
        like = random(1, text, joint)
        return {
            "encoder_hidden_states": like,
            "pooled_projections": random(1, pooled),
            "guidance": torch.full((1,), 3.5, device=like.device, dtype=like.dtype),
            "txt_ids": torch.zeros(text, 3, device=like.device, dtype=like.dtype),
            "img_ids": ids.to(like),
        }

    channels = config.get("in_channels", 64)
    config = {"guidance_embeds": True, **config}
    shape = (1, rows * columns, channels)
    return Model(
        "FluxTransformer2DModel", shape, rows * columns, inputs, "flux", config, divisor=1000.0
    )


def hunyuan_video(
    frames: int,
    height: int,
    width: int,
    text: int = 256,
    joint: int = 4096,
    pooled: int = 768,
    is_slow: bool = False,
    is_composed: bool = False,
    **config: Any,
) -> Model:
    """Of a video's frames, height and width in pixels."""
    size = video_size(frames, height, width)

    def inputs(random: Callable[..., Tensor]) -> dict[str, Any]:
        like = random(1, text, joint)
        return {
            "encoder_hidden_states": like,
            "encoder_attention_mask": torch.ones(1, text, device=like.device),
            "pooled_projections": random(1, pooled),
            "guidance": torch.full((1,), 6000.0, device=like.device, dtype=like.dtype),
        }

    tokens = size[0] * (size[1] // 2) * (size[2] // 2)
    shape = (1, config.get("in_channels", 16), *size)
    return Model(
        "HunyuanVideoTransformer3DModel",
        shape,
        tokens,
        inputs,
        "hunyuan_video",
        config,
        is_slow=is_slow,
        is_composed=is_composed,
    )


def video_size(frames: int, height: int, width: int) -> tuple[int, int, int]:
    """Of the latents of HunyuanVideo's and Wan's autoencoders."""
    return (frames - 1) // 4 + 1, height // 8, width // 8


def wan(
    frames: int,
    height: int,
    width: int,
    text: int = 512,
    is_composed: bool = False,
    **config: Any,
) -> Model:
    """One branch of guidance: its pipeline calls the model once for each."""
    size = video_size(frames, height, width)
    joint = config.get("text_dim", 4096)
    shape = (1, config.get("in_channels", 16), *size)
    return Model(
        "WanTransformer3DModel",
        shape,
        size[0] * (size[1] // 2) * (size[2] // 2),
        lambda random: {"encoder_hidden_states": random(1, text, joint)},
        None,
        config,
        timestep_dtype=torch.int64,
        shares_gates=True,
        is_composed=is_composed,
    )


def dit(size: int, samples: int, **config: Any) -> Model:
    """Both rows of a sample's guidance come in one batch: with its class, then with none."""
    batch, no_class = 2 * samples, config.get("num_embeds_ada_norm", 1000)

    def inputs(random: Callable[..., Tensor]) -> dict[str, Any]:
        labels = [*range(samples), *[no_class] * samples]
        return {"class_labels": torch.tensor(labels, device=random(1).device)}

    config = {"sample_size": size // 8, "in_channels": 4, "out_channels": 8, **config}
    latents = (batch, config["in_channels"], size // 8, size // 8)
    return Model(
        "DiTTransformer2DModel",
        latents,
        (size // 8 // config.get("patch_size", 2)) ** 2,
        inputs,
        "dit",
        config,
        timestep_dtype=torch.int64,
        rows=("cond", "uncond"),
    )


TINY: dict[str, Any] = {"attention_head_dim": 16, "num_attention_heads": 2}
TINY_FLUX: dict[str, Any] = TINY | {
    "in_channels": 4,
    "num_layers": 2,
    "num_single_layers": 2,
    "joint_attention_dim": 32,
    "pooled_projection_dim": 32,
    "axes_dims_rope": (4, 4, 8),
}
TINY_HUNYUAN: dict[str, Any] = TINY | {
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 2,
    "num_single_layers": 2,
    "num_refiner_layers": 1,
    "text_embed_dim": 16,
    "pooled_projection_dim": 8,
    "rope_axes_dim": (4, 6, 6),
}
TINY_WAN: dict[str, Any] = TINY | {
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": 16,
    "freq_dim": 16,
    "ffn_dim": 64,
    "num_layers": 2,
}
MODELS = {
    "flux-1024": flux(64, 512),
    "dit-xl-512": dit(512, 1, num_layers=28),
    "hunyuan-480p65": hunyuan_video(65, 480, 640, is_slow=True),  # as the paper's code samples it
    "hunyuan-720p129": hunyuan_video(129, 720, 1280, is_composed=True),
    "wan-14b-720p81": wan(81, 720, 1280, is_composed=True),
    "tiny": flux(8, 12, 32, 32, **TINY_FLUX),
    "tiny-dit": dit(128, 1, num_layers=3, **TINY),
    "tiny-hunyuan": hunyuan_video(9, 64, 64, 12, 16, 8, is_slow=True, **TINY_HUNYUAN),
    "tiny-composed": hunyuan_video(9, 64, 64, 12, 16, 8, is_composed=True, **TINY_HUNYUAN),
    "tiny-wan": wan(9, 64, 64, 12, **TINY_WAN),
}


def make(model: Model, device: str, dtype: torch.dtype) -> nn.Module:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            made: nn.Module = getattr(diffusers, model.cls)(**model.config).eval()
    finally:
        torch.set_default_dtype(before)
    kept = getattr(made, "_keep_in_fp32_modules", None) or ()
    for name, parameter in made.named_parameters():  # as from_pretrained has them
        if set(kept) & set(name.split(".")):
            parameter.data = parameter.data.float()
    return made
