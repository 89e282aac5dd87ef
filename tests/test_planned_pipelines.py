"""Pipelines give their models the timesteps that plans expect."""

import inspect

import pytest
import torch
from diffusers import (
    CogVideoXDDIMScheduler,
    CogVideoXPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    HunyuanVideoPipeline,
    MochiPipeline,
    QwenImagePipeline,
    StableDiffusion3Pipeline,
    ZImagePipeline,
)

from clusca_ext import ClusCaConfig, ExplicitSchedule, NoCorrection, cache
from clusca_ext.cache import Cache
from families_image import FLUX, QWEN, Z_IMAGE, sd3
from families_video import COGVIDEOX, MOCHI, hunyuan_video
from family import fixed

PARTS = {
    *("vae", "text_encoder", "text_encoder_2", "text_encoder_3", "image_encoder"),
    *("tokenizer", "tokenizer_2", "tokenizer_3", "feature_extractor"),
}
STEPS = 6
CONFIG = ClusCaConfig(schedule=ExplicitSchedule(steps=(0, 3)), corrector=NoCorrection())
MASK = torch.ones(1, 12, dtype=torch.bool)


def prompts(length, channels, pooled=None):
    given = {"prompt_embeds": fixed(1, length, channels)}
    return given if pooled is None else given | {"pooled_prompt_embeds": fixed(1, pooled)}


def guided(length, channels, pooled=None):
    """With negative prompts."""
    given = prompts(length, channels, pooled)
    return given | {f"negative_{name}": -prompt for name, prompt in given.items()}


IMAGE = {"height": 64, "width": 64}
VIDEO = {"height": 64, "width": 64, "num_frames": 9}
CASES = {
    "flux": (FluxPipeline, FLUX, prompts(12, 32, 32) | IMAGE),
    "sd3": (StableDiffusion3Pipeline, sd3(()), guided(12, 32, 32) | IMAGE),
    "qwen": (QwenImagePipeline, QWEN, prompts(7, 16) | {"prompt_embeds_mask": MASK[:, :7]} | IMAGE),
    "hunyuan": (
        HunyuanVideoPipeline,
        hunyuan_video(None),
        prompts(12, 16, 8) | {"prompt_attention_mask": MASK.long()} | VIDEO,
    ),
    "cogvideox": (CogVideoXPipeline, COGVIDEOX, guided(7, 16) | VIDEO),
    "mochi": (
        MochiPipeline,
        MOCHI,
        guided(12, 16)
        | {"prompt_attention_mask": MASK, "negative_prompt_attention_mask": MASK}
        | VIDEO,
    ),
    "z-image": (
        ZImagePipeline,
        Z_IMAGE,
        {"prompt_embeds": [fixed(32, 16)], "guidance_scale": 0.0} | IMAGE,
    ),
}


def make(kind, family):
    cog = kind is CogVideoXPipeline
    scheduler = CogVideoXDDIMScheduler() if cog else FlowMatchEulerDiscreteScheduler()
    parts = dict.fromkeys(set(inspect.signature(kind.__init__).parameters) & PARTS)
    pipe = kind(transformer=family.make(), scheduler=scheduler, **parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("name", CASES)
def test_their_cached_steps_are_planned(name):
    kind, family, inputs = CASES[name]
    pipe, planned = make(kind, family), []

    def draw():
        generator = torch.Generator().manual_seed(0)
        more = {"num_inference_steps": STEPS, "output_type": "latent", "generator": generator}
        return pipe(**inputs, **more, return_dict=False)[0]

    def sample(plans):
        with cache(pipe, CONFIG):
            held = Cache.of(pipe.transformer)
            if not plans:
                held.branch.plan.begin = lambda timesteps: None
            first = held.blocks[0]
            hook = first.block.register_forward_pre_hook(
                lambda *_: planned.append(first.substituted and first.planned is not None)
            )
            out = draw()
            hook.remove()
        return out

    expected = sample(False)
    assert not any(planned)
    planned.clear()
    torch.testing.assert_close(sample(True), expected, rtol=1e-4, atol=1e-5)
    assert planned == [False, True, True, False, True, True]
