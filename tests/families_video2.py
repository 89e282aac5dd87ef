"""More tiny models of the families that make videos: with images, earlier frames or control."""

from typing import Any

import torch
from torch import Tensor

from family import Family, fixed, model_of, named, times


def hunyuan_video15(image: bool) -> Family:
    """Without an image its tokens, and some of the texts', are masked."""

    def inputs(noise: Tensor, t: float) -> dict[str, Any]:
        B = len(noise)
        masks = torch.ones(B, 12), torch.ones(B, 6)
        if not image:
            masks[0][1, 9:] = masks[1][0, 2:] = 0
        return {
            "hidden_states": noise,
            "timestep": times(noise, t).bfloat16().float(),  # so that no precision moves it
            "encoder_hidden_states": fixed(B, 12, 16),
            "encoder_attention_mask": masks[0],
            "encoder_hidden_states_2": fixed(B, 6, 8),
            "encoder_attention_mask_2": masks[1],
            "image_embeds": fixed(B, 5, 8) * image,
        }

    return Family(
        name="HunyuanVideo15Transformer3DModel" + "-image" * image,
        make=model_of(
            "HunyuanVideo15Transformer3DModel",
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=10,
            num_layers=2,
            num_refiner_layers=1,
            patch_size=2,
            patch_size_t=1,
            text_embed_dim=16,
            text_embed_2_dim=8,
            image_embed_dim=8,
            rope_axes_dim=(2, 4, 4),
        ),
        inputs=inputs,
        noise=(2, 4, 3, 8, 8),
        tokens=48,
        modules=named("transformer_blocks", 2, "attn", "ff"),
        mlps=named("transformer_blocks", 2, "ff"),
        low_times=True,
    )


def framepack_inputs(noise: Tensor, t: float) -> dict[str, Any]:
    B = len(noise)
    indices = torch.arange(11).expand(B, -1).split([4, 2, 2, 3], dim=1)
    return {
        "hidden_states": noise,
        "timestep": times(noise, t),
        "encoder_hidden_states": fixed(B, 12, 16),
        "encoder_attention_mask": torch.ones(B, 12),
        "pooled_projections": fixed(B, 8),
        "guidance": torch.full((B,), 6000.0),
        "image_embeds": fixed(B, 5, 8),
        "latents_history_4x": fixed(B, 4, 4, 8, 8, seed=1),
        "indices_latents_history_4x": indices[0][0],
        "latents_history_2x": fixed(B, 4, 2, 8, 8, seed=2),
        "indices_latents_history_2x": indices[1][0],
        "latents_clean": fixed(B, 4, 2, 8, 8, seed=3),
        "indices_latents_clean": indices[2][0],
        "indices_latents": indices[3][0],
    }


FRAMEPACK = Family(
    name="HunyuanVideoFramepackTransformer3DModel",
    make=model_of(
        "HunyuanVideoFramepackTransformer3DModel",
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=2,
        num_single_layers=2,
        num_refiner_layers=1,
        patch_size=2,
        patch_size_t=1,
        text_embed_dim=16,
        pooled_projection_dim=8,
        rope_axes_dim=(2, 4, 4),
        has_image_proj=True,
        image_proj_dim=8,
        has_clean_x_embedder=True,
    ),
    inputs=framepack_inputs,
    noise=(2, 4, 3, 8, 8),
    tokens=48 + 32 + 4 + 1,
    modules=(
        *named("transformer_blocks", 2, "attn", "ff"),
        *named("single_transformer_blocks", 2, "proj_out"),
    ),
    mlps=named("transformer_blocks", 2, "ff"),
)

WAN_VACE = Family(
    name="WanVACETransformer3DModel",
    make=model_of(
        "WanVACETransformer3DModel",
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=16,
        freq_dim=32,
        ffn_dim=48,
        num_layers=3,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
        vace_layers=[0, 2],
        vace_in_channels=6,
    ),
    inputs=lambda noise, t: {
        "hidden_states": noise,
        "timestep": times(noise, t),
        "encoder_hidden_states": fixed(len(noise), 12, 16),
        "control_hidden_states": fixed(len(noise), 6, 3, 8, 8, seed=1),
        "control_hidden_states_scale": torch.tensor([1.0, 0.7]),
    },
    noise=(2, 4, 3, 8, 8),
    tokens=48,
    modules=(
        *named("vace_blocks", 2, "attn1", "attn2", "ffn"),
        *named("blocks", 3, "attn1", "attn2", "ffn"),
    ),
    mlps=(*named("vace_blocks", 2, "ffn"), *named("blocks", 3, "ffn")),
)

MORE_VIDEOS = (hunyuan_video15(False), hunyuan_video15(True), FRAMEPACK, WAN_VACE)
