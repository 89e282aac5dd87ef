"""Tiny pipelines of FLUX, with random weights and prompts that are embedded already."""

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxImg2ImgPipeline,
    FluxPipeline,
)

from families_image import make_flux
from family import fixed

SIZE = 128  # pixels: 64 tokens of one channel's 2 x 2 latents


def make_vae(**config):
    """Eight pixels a latent, as FLUX's."""
    torch.manual_seed(0)
    options = {
        "block_out_channels": (4,) * 4,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "norm_num_groups": 2,
        "latent_channels": 1,
        "shift_factor": 0.0,
    }
    return AutoencoderKL(**(options | config)).eval()


def make_pipeline(cls=FluxPipeline, transformer=None, scheduler=None, vae=None, **more):
    pipe = cls(
        scheduler=scheduler or FlowMatchEulerDiscreteScheduler(),
        vae=make_vae() if vae is None and cls is FluxImg2ImgPipeline else vae,
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=None,
        tokenizer_2=None,
        transformer=transformer or make_flux(),
        **more,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(pipe, steps=6, output_type="latent", prompt=1, **inputs):
    if isinstance(pipe, FluxImg2ImgPipeline):
        image = fixed(1, 3, SIZE, SIZE).clamp(0, 1)
        inputs = {"image": image, "strength": 0.7} | inputs
    return pipe(
        prompt_embeds=fixed(1, 12, 32, seed=prompt),
        pooled_prompt_embeds=fixed(1, 32, seed=prompt),
        num_inference_steps=steps,
        height=SIZE,
        width=SIZE,
        output_type=output_type,
        **({"generator": torch.Generator().manual_seed(0)} | inputs),
    ).images
