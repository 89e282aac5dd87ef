"""FLUX.1's pipelines: what they give the model beside noise, and how many tokens come of it."""

import pytest
import torch
from diffusers import (
    FluxControlImg2ImgPipeline,
    FluxControlInpaintPipeline,
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxControlPipeline,
    FluxFillPipeline,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxKontextPipeline,
    FluxPipeline,
)

import flux_pipelines
from clusca_ext import cache, summary
from families_image import make_flux
from family import fixed
from flux_pipelines import SIZE
from variants import INTERVAL, check_variant

IMAGE = fixed(1, 3, SIZE, SIZE).clamp(0, 1)
CONTROL = fixed(1, 3, SIZE, SIZE, seed=8).clamp(0, 1)
MASK = (torch.arange(SIZE) < SIZE // 2).float().expand(1, 1, SIZE, SIZE)
EDITED = {"image": IMAGE, "strength": 1.0}
PAINTED = EDITED | {"mask_image": MASK}
NEGATIVE = {
    "negative_prompt_embeds": fixed(1, 12, 32, seed=3),
    "negative_pooled_prompt_embeds": fixed(1, 32, seed=4),
    "true_cfg_scale": 2.0,
}
# Channels of the model beside the four of noise, and what the pipeline is called with.
CASES = {
    "dev": (FluxPipeline, 0, {}),
    "true-guidance": (FluxPipeline, 0, NEGATIVE),
    "img2img": (FluxImg2ImgPipeline, 0, EDITED),
    "inpaint": (FluxInpaintPipeline, 0, PAINTED),
    "fill": (FluxFillPipeline, 4 + 4 * 64, PAINTED),
    "kontext": (FluxKontextPipeline, 0, {"image": IMAGE, "max_area": SIZE**2}),
    "kontext-without-image": (FluxKontextPipeline, 0, {"max_area": SIZE**2}),
    "control": (FluxControlPipeline, 4, {"control_image": CONTROL}),
    "control-img2img": (FluxControlImg2ImgPipeline, 4, EDITED | {"control_image": CONTROL}),
    "control-inpaint": (FluxControlInpaintPipeline, 4, PAINTED | {"control_image": CONTROL}),
    "controlnet": (FluxControlNetPipeline, 0, {"control_image": CONTROL}),
    "controlnet-half-way": (
        FluxControlNetPipeline,
        0,
        {"control_image": CONTROL, "control_guidance_end": 0.5},
    ),
}


def make_controlnet(transformer):
    """With residuals: a new one's are zero."""
    parts = {"attention_head_dim": 16, "num_attention_heads": 2}
    control = FluxControlNetModel.from_transformer(
        transformer, num_layers=1, num_single_layers=1, **parts
    )
    torch.manual_seed(3)
    for blocks in (control.controlnet_blocks, control.controlnet_single_blocks):
        for block in blocks:
            torch.nn.init.normal_(block.weight, std=0.1)
    torch.nn.init.normal_(control.controlnet_x_embedder.weight, std=0.1)
    return control.eval()


def make(name, schnell=False):
    kind, more_channels, inputs = CASES[name]
    transformer = make_flux(
        in_channels=4 + more_channels, out_channels=4, guidance_embeds=not schnell
    )
    more = {"controlnet": make_controlnet(transformer)} if "controlnet" in name else {}
    pipe = flux_pipelines.make_pipeline(kind, transformer, vae=flux_pipelines.make_vae(), **more)
    if kind is FluxKontextPipeline:
        inputs = inputs | {"_auto_resize": False}
    return pipe, inputs


@pytest.mark.parametrize("name", CASES)
def test_each_pipeline(name):
    pipe, inputs = make(name)
    calls = 2 if name == "true-guidance" else 1
    check_variant(pipe, lambda: flux_pipelines.draw(pipe, steps=8, **inputs), branches=calls)
    with cache(pipe, INTERVAL):
        flux_pipelines.draw(pipe, steps=8, **inputs)
        assert summary(pipe).tokens == (128 if name == "kontext" else 64)


def test_schnell():
    """Without guidance of its own, in four steps."""
    pipe, _ = make("dev", schnell=True)
    check_variant(
        pipe, lambda: flux_pipelines.draw(pipe, steps=4, guidance_scale=0.0), counts=(2, 2)
    )


def adapter():
    """The state of an IP-Adapter, as its file holds it: four tokens an image, for two blocks."""
    layers = {}
    for block in range(2):
        for letter in "kv":
            name = f"{block}.to_{letter}_ip"
            layers[f"{name}.weight"] = fixed(32, 32, seed=10 * block + ord(letter)) * 0.2
            layers[f"{name}.bias"] = torch.zeros(32)
    projection = {
        "proj.weight": fixed(4 * 32, 16, seed=5),
        "proj.bias": torch.zeros(4 * 32),
        "norm.weight": torch.ones(32),
        "norm.bias": torch.zeros(32),
    }
    return {"image_proj": projection, "ip_adapter": layers}


def load(pipe):
    pipe.load_ip_adapter(
        adapter(), weight_name="it", image_encoder_pretrained_model_name_or_path=None
    )
    pipe.set_ip_adapter_scale(0.6)


def test_ip_adapter_by_its_own_loader():
    """Loaded, scaled and unloaded by the pipeline, between its runs, while the cache is on."""
    pipe, _ = make("dev")
    images = {
        "ip_adapter_image_embeds": [fixed(1, 1, 16)],
        "negative_ip_adapter_image_embeds": [torch.zeros(1, 1, 16)],
    }

    def draw(**inputs):
        return flux_pipelines.draw(pipe, steps=8, **inputs)

    unprompted = draw()
    with cache(pipe, INTERVAL):
        cached = draw()
    load(pipe)
    assert not torch.equal(draw(**images), unprompted)
    check_variant(pipe, lambda: draw(**images))
    with cache(pipe, INTERVAL):
        prompted = draw(**images)
        pipe.set_ip_adapter_scale(0.0)
        torch.testing.assert_close(draw(**images), cached, rtol=1e-5, atol=1e-5)
        pipe.set_ip_adapter_scale(0.6)
        assert torch.equal(draw(**images), prompted)
        pipe.unload_ip_adapter()
        assert torch.equal(draw(), cached)
        load(pipe)
        assert torch.equal(draw(**images), prompted)
