"""Tiny models of the families that draw images, with random weights."""

from typing import Any

import torch
from torch import Tensor, nn

from family import Family, fixed, model_of, named, times


def make_flux(**config) -> nn.Module:
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    options = {
        "in_channels": 4,
        "num_layers": 2,
        "num_single_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 32,
        "pooled_projection_dim": 32,
        "axes_dims_rope": [4, 4, 8],
        "guidance_embeds": True,
    }
    return FluxTransformer2DModel(**(options | config)).eval()


def flux_inputs(noise: Tensor, timestep: float) -> dict[str, Any]:
    B, side = len(noise), 8
    ids = torch.zeros(side * side, 3)
    ids[:, 1], ids[:, 2] = torch.arange(side * side) // side, torch.arange(side * side) % side
    return {
        "hidden_states": noise,
        "timestep": torch.full((B,), timestep) / 1000,
        "guidance": torch.full((B,), 3.5),
        "encoder_hidden_states": fixed(B, 12, 32),
        "pooled_projections": fixed(B, 32),
        "txt_ids": torch.zeros(12, 3),
        "img_ids": ids,
    }


FLUX = Family(
    name="FluxTransformer2DModel",
    make=make_flux,
    inputs=flux_inputs,
    noise=(2, 64, 4),
    tokens=64,
    modules=(
        *(f"transformer_blocks.{i}.{name}" for i in range(2) for name in ("attn", "ff")),
        *(f"single_transformer_blocks.{i}.proj_out" for i in range(2)),
    ),
    mlps=tuple(f"transformer_blocks.{i}.ff" for i in range(2)),
)


def flux2_inputs(noise: Tensor, timestep: float) -> dict[str, Any]:
    B, side = len(noise), 8
    ids, text_ids = torch.zeros(side * side, 4), torch.zeros(12, 4)
    ids[:, 1], ids[:, 2] = torch.arange(side * side) // side, torch.arange(side * side) % side
    text_ids[:, 3] = torch.arange(12)
    return {
        "hidden_states": noise,
        "timestep": times(noise, timestep) / 1000,
        "guidance": torch.full((B,), 3.5),
        "encoder_hidden_states": fixed(B, 12, 32),
        "txt_ids": text_ids,
        "img_ids": ids,
    }


FLUX2 = Family(
    name="Flux2Transformer2DModel",
    make=model_of(
        "Flux2Transformer2DModel",
        in_channels=4,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
    ),
    inputs=flux2_inputs,
    noise=(2, 64, 4),
    tokens=64,
    modules=(
        *named("transformer_blocks", 2, "attn", "ff"),
        *named("single_transformer_blocks", 2, "attn"),
    ),
    mlps=named("transformer_blocks", 2, "ff"),
)


def sd3(dual: tuple[int, ...]) -> Family:
    config = {
        "sample_size": 16,
        "patch_size": 2,
        "in_channels": 4,
        "num_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 32,
        "caption_projection_dim": 32,
        "pooled_projection_dim": 32,
        "out_channels": 4,
        "dual_attention_layers": dual,
    }
    parts = [("attn", "attn2", "ff") if i in dual else ("attn", "ff") for i in range(2)]
    return Family(
        name="SD3Transformer2DModel" + "-dual" * bool(dual),
        make=model_of("SD3Transformer2DModel", **config),
        inputs=lambda noise, t: {
            "hidden_states": noise,
            "timestep": times(noise, t),
            "encoder_hidden_states": fixed(len(noise), 12, 32),
            "pooled_projections": fixed(len(noise), 32),
        },
        noise=(2, 4, 16, 16),
        tokens=64,
        modules=tuple(f"transformer_blocks.{i}.{name}" for i in range(2) for name in parts[i]),
        mlps=named("transformer_blocks", 2, "ff"),
    )


PIXART = Family(
    name="PixArtTransformer2DModel",
    make=model_of(
        "PixArtTransformer2DModel",
        num_layers=2,
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=8,
        cross_attention_dim=32,
        caption_channels=32,
        sample_size=16,
        patch_size=2,
        use_additional_conditions=False,
    ),
    inputs=lambda noise, t: {
        "hidden_states": noise,
        "timestep": times(noise, t),
        "encoder_hidden_states": fixed(len(noise), 12, 32),
        "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
    },
    noise=(2, 4, 16, 16),
    tokens=64,
    modules=named("transformer_blocks", 2, "attn1", "attn2", "ff"),
    mlps=named("transformer_blocks", 2, "ff"),
)


def qwen(edit: bool) -> Family:
    """To be edited: tokens of a given image, modulated by a timestep of 0 of their own."""
    shapes = [(1, 8, 8), (1, 4, 4)] if edit else [(1, 8, 8)]
    tokens = sum(height * width for _, height, width in shapes)
    return Family(
        name="QwenImageTransformer2DModel" + "-edit" * edit,
        make=model_of(
            "QwenImageTransformer2DModel",
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            guidance_embeds=False,
            axes_dims_rope=(8, 4, 4),
            zero_cond_t=edit,
        ),
        inputs=lambda noise, t: {
            "hidden_states": noise,
            "timestep": times(noise, t) / 1000,
            "encoder_hidden_states": fixed(len(noise), 7, 16),
            "encoder_hidden_states_mask": torch.ones(len(noise), 7, dtype=torch.long),
            "img_shapes": [shapes] * len(noise),
        },
        noise=(2, tokens, 16),
        tokens=tokens,
        modules=named("transformer_blocks", 2, "attn", "img_mlp"),
        mlps=named("transformer_blocks", 2, "img_mlp"),
        grouped=edit,
        planned=not edit,
    )


QWEN = qwen(edit=False)

Z_IMAGE = Family(
    name="ZImageTransformer2DModel",
    make=model_of(
        "ZImageTransformer2DModel",
        in_channels=4,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[4, 6, 6],
        axes_lens=[64, 16, 16],
    ),
    inputs=lambda noise, t: {
        "x": list(noise),
        "t": (1000 - times(noise, t)) / 1000,
        "cap_feats": list(fixed(len(noise), 32, 16)),
    },
    noise=(2, 4, 1, 16, 16),
    tokens=64 + 32,
    modules=named("layers", 2, "attention_norm2", "ffn_norm2"),
    mlps=named("layers", 2, "ffn_norm2"),
)

IMAGES = (PIXART, sd3(()), sd3((0,)), FLUX, FLUX2, QWEN, qwen(edit=True), Z_IMAGE)
