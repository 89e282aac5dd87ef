"""Pipelines that are given images, earlier frames or control, and those with a guider."""

import inspect

import diffusers
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from PIL import Image

from clusca_ext import cache, summary
from families_image import qwen
from families_video import hunyuan_video, wan
from families_video2 import FRAMEPACK, WAN_VACE, hunyuan_video15
from family import fixed
from test_planned_pipelines import PARTS
from variants import INTERVAL, check_variant

SIDE = 64
VIDEO = {"height": SIDE, "width": SIDE, "num_frames": 9}
PICTURE = Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB")
MASK = torch.ones(1, 12, dtype=torch.long)


def make(kind, transformer, vae=None, **more):
    kind = getattr(diffusers, kind)
    names = set(inspect.signature(kind.__init__).parameters)
    parts = dict.fromkeys(names & (PARTS | {"processor", "image_processor"}))
    torch.manual_seed(1)
    vae = None if vae is None else vae.eval()
    scheduler = FlowMatchEulerDiscreteScheduler()
    pipe = kind(transformer=transformer, scheduler=scheduler, **(parts | {"vae": vae} | more))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(pipe, **inputs):
    more = {"num_inference_steps": 8, "output_type": "latent", "return_dict": False}
    out = pipe(**(more | {"generator": torch.Generator().manual_seed(0)} | inputs))[0]
    return torch.cat(out, dim=2) if isinstance(out, list) else out


def scaled(kind):
    """Wan's VAE, or the one that Qwen-Image made of it: four latent channels."""
    torch.manual_seed(1)
    means = {"latents_mean": [0.0] * 4, "latents_std": [1.0] * 4}
    return getattr(diffusers, kind)(
        base_dim=3, z_dim=4, dim_mult=[1] * 4, num_res_blocks=1, **means
    )


def hunyuan_vae():
    torch.manual_seed(1)
    return diffusers.AutoencoderKLHunyuanVideo(
        latent_channels=4,
        block_out_channels=(4,) * 4,
        layers_per_block=1,
        norm_num_groups=2,
        mid_block_add_attention=False,
    )


def hunyuan_inputs():
    return {
        "prompt_embeds": fixed(1, 12, 16),
        "pooled_prompt_embeds": fixed(1, 8),
        "prompt_attention_mask": MASK,
    }


@pytest.mark.parametrize("condition", ["latent_concat", "token_replace"])
def test_hunyuan_video_from_an_image(condition):
    transformer = hunyuan_video(condition).make()
    pipe = make("HunyuanVideoImageToVideoPipeline", transformer, hunyuan_vae())
    inputs = hunyuan_inputs() | VIDEO | {"image": PICTURE}
    check_variant(pipe, lambda: draw(pipe, **inputs))


@pytest.mark.parametrize("sampling", ["inverted_anti_drifting", "vanilla"])
def test_framepack(sampling):
    """Section by section, each a run of its own."""
    pipe = make("HunyuanVideoFramepackPipeline", FRAMEPACK.make(), hunyuan_vae())
    pipe.encode_image = lambda image, device: fixed(1, 5, 8)
    sections = {"num_frames": 18, "latent_window_size": 3, "sampling_type": sampling}
    inputs = hunyuan_inputs() | VIDEO | {"image": PICTURE} | sections
    kinds = []

    def look(model, args, output):
        kinds.append((summary(pipe).full, summary(pipe).cached))

    check_variant(pipe, lambda: draw(pipe, **inputs))
    with cache(pipe, INTERVAL):
        pipe.transformer.register_forward_hook(look)
        draw(pipe, **inputs)
    assert kinds[7::8] == [(3, 5), (3, 5)]


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_hunyuan_video_15(guidance):
    """Its guider calls the model once for each of its conditions, in contexts it names."""
    config = dict(hunyuan_video15(False).make().config) | {"in_channels": 9}
    torch.manual_seed(0)
    transformer = diffusers.HunyuanVideo15Transformer3DModel.from_config(config).eval()
    vae = diffusers.AutoencoderKLHunyuanVideo15(
        latent_channels=4, block_out_channels=(32,) * 5, layers_per_block=1
    )
    guider = diffusers.ClassifierFreeGuidance(guidance_scale=guidance)
    pipe = make("HunyuanVideo15Pipeline", transformer, vae, guider=guider)
    prompts = {}
    for seed, sign in enumerate(("", "negative_")):
        prompts |= {
            f"{sign}prompt_embeds": fixed(1, 12, 16, seed=seed),
            f"{sign}prompt_embeds_mask": MASK,
            f"{sign}prompt_embeds_2": fixed(1, 6, 8, seed=seed),
            f"{sign}prompt_embeds_mask_2": MASK[:, :6],
        }
    inputs = prompts | {"height": 128, "width": 128, "num_frames": 9}
    check_variant(pipe, lambda: draw(pipe, **inputs), branches=1 + (guidance > 1))


def wan_inputs(tokens=12):
    return {
        "prompt_embeds": fixed(1, tokens, 16, seed=1),
        "negative_prompt_embeds": fixed(1, tokens, 16, seed=2),
        "max_sequence_length": tokens,
        "guidance_scale": 3.0,
    } | VIDEO


def test_wan_from_an_image():
    pipe = make("WanImageToVideoPipeline", wan(image=True).make(), scaled("AutoencoderKLWan"))
    pipe.encode_image = lambda image, device: fixed(1, 5, 8)
    inputs = wan_inputs(512) | {"image": PICTURE}
    check_variant(pipe, lambda: draw(pipe, **inputs), branches=2)


@pytest.mark.parametrize("image", [False, True], ids=["text", "image"])
def test_wan_with_timesteps_of_tokens(image):
    """As 2.2 TI2V: a given frame's tokens are at 0, or all at the step's."""
    kind = "WanImageToVideoPipeline" if image else "WanPipeline"
    vae = scaled("AutoencoderKLWan")
    pipe = make(kind, wan(per_token=True).make(), vae, expand_timesteps=True)
    inputs = wan_inputs() | ({"image": PICTURE} if image else {})
    check_variant(pipe, lambda: draw(pipe, **inputs), branches=2)


@pytest.mark.parametrize("given", ["text", "video", "reference"])
def test_wan_vace(given):
    config = dict(WAN_VACE.make().config) | {"vace_in_channels": 2 * 4 + 8 * 8}
    torch.manual_seed(0)
    transformer = diffusers.WanVACETransformer3DModel.from_config(config).eval()
    pipe = make("WanVACEPipeline", transformer, scaled("AutoencoderKLWan"))
    inputs = wan_inputs()
    if given == "video":
        half = PICTURE.convert("L").point(lambda value: 255 * (value > 99))
        inputs |= {"video": [PICTURE] * 9, "mask": [half] * 9}
    if given == "reference":
        inputs |= {"reference_images": [PICTURE]}
    check_variant(pipe, lambda: draw(pipe, **inputs), branches=2)


@pytest.mark.parametrize("kind", ["QwenImageEditPipeline", "QwenImageEditPlusPipeline"])
@pytest.mark.parametrize("by_token", [False, True])
def test_qwen_image_edit(kind, by_token, monkeypatch):
    """The given image's tokens stand behind the latents', at a timestep of 0 where so trained."""
    pipe = make(kind, qwen(edit=by_token).make(), scaled("AutoencoderKLQwenImage"))
    module = inspect.getmodule(type(pipe))
    dimensions = module.calculate_dimensions
    monkeypatch.setattr(module, "calculate_dimensions", lambda _, ratio: dimensions(128**2, ratio))
    inputs = {
        "image": [PICTURE] if "Plus" in kind else PICTURE,
        "prompt_embeds": fixed(1, 7, 16, seed=1),
        "prompt_embeds_mask": MASK[:, :7],
        "negative_prompt_embeds": fixed(1, 7, 16, seed=2),
        "negative_prompt_embeds_mask": MASK[:, :7],
        "true_cfg_scale": 3.0,
        "height": 128,
        "width": 128,
    }
    check_variant(pipe, lambda: draw(pipe, **inputs), branches=2)
    with cache(pipe, INTERVAL):
        draw(pipe, **inputs)
        assert summary(pipe).tokens == 64 + 64
