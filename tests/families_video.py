"""Tiny models of the families that make videos, with random weights."""

from typing import Any

import torch
from torch import Tensor

from families_video2 import MORE_VIDEOS
from family import Family, fixed, model_of, named, times


def first_given(noise: Tensor, t: float, tokens: int) -> Tensor:
    """A timestep for every token: 0 for those of the first of three frames."""
    timesteps = times(noise, t)[:, None].repeat(1, tokens)
    timesteps[:, : tokens // 3] = 0
    return timesteps


def wan(per_token: bool = False, image: bool = False) -> Family:
    """With an image: its latents beside the noise, its embedding beside the text."""

    def inputs(noise: Tensor, t: float) -> dict[str, Any]:
        given = {
            "hidden_states": noise,
            "timestep": first_given(noise, t, 48) if per_token else times(noise, t),
            "encoder_hidden_states": fixed(len(noise), 12, 16),
        }
        if image:
            beside = fixed(len(noise), 8, *noise.shape[2:], seed=1)
            given["hidden_states"] = torch.cat([noise, beside], dim=1)
            given["encoder_hidden_states"] = fixed(len(noise), 512, 16)  # as many as it expects
            given["encoder_hidden_states_image"] = fixed(len(noise), 5, 8)
        return given

    return Family(
        name="WanTransformer3DModel" + "-per-token" * per_token + "-image" * image,
        make=model_of(
            "WanTransformer3DModel",
            patch_size=(1, 2, 2),
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=12 if image else 4,
            out_channels=4,
            text_dim=16,
            freq_dim=32,
            ffn_dim=48,
            num_layers=2,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            rope_max_seq_len=32,
            image_dim=8 if image else None,
            added_kv_proj_dim=24 if image else None,
        ),
        inputs=inputs,
        noise=(2, 4, 3, 8, 8),
        tokens=48,
        modules=named("blocks", 2, "attn1", "attn2", "ffn"),
        mlps=named("blocks", 2, "ffn"),
        planned=not per_token,
    )


def hunyuan_video(condition: str | None) -> Family:
    """With an image: as first frame's tokens, or its latents and a mask beside the noise."""

    def stream(noise: Tensor) -> Tensor:
        beside = fixed(len(noise), 5, *noise.shape[2:], seed=1)
        return torch.cat([noise, beside], dim=1) if condition == "latent_concat" else noise

    return Family(
        name="HunyuanVideoTransformer3DModel" + (f"-{condition}" if condition else ""),
        make=model_of(
            "HunyuanVideoTransformer3DModel",
            in_channels=9 if condition == "latent_concat" else 4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=10,
            num_layers=2,
            num_single_layers=2,
            num_refiner_layers=1,
            patch_size=2,
            patch_size_t=1,
            guidance_embeds=True,
            text_embed_dim=16,
            pooled_projection_dim=8,
            rope_axes_dim=(2, 4, 4),
            image_condition_type=condition,
        ),
        inputs=lambda noise, t: {
            "hidden_states": stream(noise),
            "timestep": times(noise, t),
            "encoder_hidden_states": fixed(len(noise), 12, 16),
            "encoder_attention_mask": torch.ones(len(noise), 12),
            "pooled_projections": fixed(len(noise), 8),
            "guidance": torch.full((len(noise),), 6000.0),
        },
        noise=(2, 4, 3, 8, 8),
        tokens=48,
        modules=(
            *named("transformer_blocks", 2, "attn", "ff"),
            *named("single_transformer_blocks", 2, "proj_out"),
        ),
        mlps=named("transformer_blocks", 2, "ff"),
        grouped=condition == "token_replace",
        planned=condition != "token_replace",
    )


COGVIDEOX = Family(
    name="CogVideoXTransformer3DModel",
    make=model_of(
        "CogVideoXTransformer3DModel",
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=8,
        text_embed_dim=16,
        num_layers=2,
        sample_width=8,
        sample_height=8,
        sample_frames=9,
        patch_size=2,
        temporal_compression_ratio=4,
        max_text_seq_length=7,
    ),
    inputs=lambda noise, t: {
        "hidden_states": noise,
        "timestep": times(noise, t),
        "encoder_hidden_states": fixed(len(noise), 7, 16),
    },
    noise=(2, 3, 4, 8, 8),
    tokens=48,
    modules=named("transformer_blocks", 2, "attn1", "ff"),
    mlps=named("transformer_blocks", 2, "ff"),
)


def ltx(per_token: bool) -> Family:
    """Token by token: the first frame is given."""

    def inputs(noise: Tensor, t: float) -> dict[str, Any]:
        return {
            "hidden_states": noise,
            "timestep": first_given(noise, t, 48) if per_token else times(noise, t),
            "encoder_hidden_states": fixed(len(noise), 12, 16),
            "encoder_attention_mask": torch.ones(len(noise), 12, dtype=torch.bool),
            "num_frames": 3,
            "height": 4,
            "width": 4,
        }

    return Family(
        name="LTXVideoTransformer3DModel" + "-per-token" * per_token,
        make=model_of(
            "LTXVideoTransformer3DModel",
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=16,
            cross_attention_dim=32,
            num_layers=2,
            caption_channels=16,
        ),
        inputs=inputs,
        noise=(2, 48, 4),
        tokens=48,
        modules=named("transformer_blocks", 2, "attn1", "attn2", "ff"),
        mlps=named("transformer_blocks", 2, "ff"),
        planned=not per_token,
    )


MOCHI = Family(
    name="MochiTransformer3DModel",
    make=model_of(
        "MochiTransformer3DModel",
        patch_size=2,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=2,
        pooled_projection_dim=16,
        in_channels=4,
        text_embed_dim=16,
        time_embed_dim=8,
        max_sequence_length=12,
    ),
    inputs=lambda noise, t: {
        "hidden_states": noise,
        "timestep": times(noise, t),
        "encoder_hidden_states": fixed(len(noise), 12, 16),
        "encoder_attention_mask": torch.arange(12) < torch.tensor([[12], [9]]),
    },
    noise=(2, 4, 3, 8, 8),
    tokens=48,
    modules=named("transformer_blocks", 2, "norm2", "norm4"),
    mlps=named("transformer_blocks", 2, "norm4"),
    gated=True,
)

VIDEOS = (
    hunyuan_video(None),
    hunyuan_video("token_replace"),
    hunyuan_video("latent_concat"),
    wan(),
    wan(per_token=True),
    wan(image=True),
    COGVIDEOX,
    ltx(per_token=False),
    ltx(per_token=True),
    MOCHI,
    *MORE_VIDEOS,
)
