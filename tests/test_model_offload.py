"""accelerate's model offload: a whole model's weights come when it is called, and stay until its
owner sends them away."""

from dataclasses import replace

import pytest
import torch
from accelerate import cpu_offload_with_hook
from accelerate.hooks import (
    CpuOffload,
    UserCpuOffloadHook,
    add_hook_to_module,
    remove_hook_from_module,
)
from diffusers import FluxImg2ImgPipeline, FluxPipeline
from torch import nn

from clusca_ext import cache, disable_cache, enable_cache, summary
from families_image import IMAGES
from families_video import VIDEOS
from flux_pipelines import draw, make_pipeline, make_vae
from test_families import TIMES, run
from test_memory_format import DIT
from test_offload import CONFIG, assert_same, cached

CPU = torch.device("cpu")


@pytest.fixture(params=[DIT, *IMAGES, *VIDEOS], ids=str)
def family(request):
    return request.param


class Away(CpuOffload):
    """On a machine of one device: weights that are away are on meta, as on another device."""

    def __init__(self):
        super().__init__(execution_device=CPU)
        self.kept = []

    def init_hook(self, module):
        if not self.kept:
            for owner in module.modules():
                self.kept += [(owner, *item) for item in owner.named_parameters(recurse=False)]
        for owner, name, weight in self.kept:
            setattr(owner, name, nn.Parameter(weight.to("meta")))
        return module

    def pre_forward(self, module, *args, **kwargs):
        for owner, name, weight in self.kept:
            setattr(owner, name, weight)
        return super().pre_forward(module, *args, **kwargs)


def offload(model):
    """As ``cpu_offload_with_hook`` does. Returns what sends the weights away."""
    hook = Away()
    add_hook_to_module(model, hook, append=True)
    assert all(parameter.is_meta for parameter in model.parameters())
    return UserCpuOffloadHook(model, hook)


@pytest.mark.parametrize("before", [True, False], ids=["offloaded-first", "cached-first"])
def test_weights_that_are_away(family, before):
    model = family.make()
    expected, plain = cached(family, model), run(family, model)
    if before:
        hook = offload(model)
        for _ in range(2):
            assert_same(cached(family, model), expected)
            hook.offload()
    else:
        with cache(model, CONFIG, timesteps=TIMES):
            assert_same(run(family, model), expected)
            hook = offload(model)
            assert_same(run(family, model), expected)
            hook.offload()
            # Between steps, too, as a second transformer of a pipeline makes it.
            assert_same(run(family, model, lambda step: hook.offload()), expected)
    assert_same(run(family, model), plain)
    remove_hook_from_module(model)
    assert_same(cached(family, model), expected)


def test_lean_storage_knows_the_gates_of_weights_that_are_away(family):
    """Before the first step, too: else it would take the basis that knows the least."""
    config = replace(CONFIG, storage="lean")
    model = family.make()
    with cache(model, config, timesteps=TIMES):
        expected, storage = run(family, model), summary(model).storage
    hook = offload(model)
    with cache(model, config, timesteps=TIMES):
        assert_same(run(family, model, lambda step: hook.offload()), expected)
        assert summary(model).storage == storage


def test_accelerates_own_hook(family):
    model = family.make()
    expected, plain = cached(family, model), run(family, model)
    model, hook = cpu_offload_with_hook(model, execution_device=CPU)
    assert_same(cached(family, model), expected)
    hook.offload()
    assert_same(cached(family, model), expected)
    assert_same(run(family, model), plain)
    hook.remove()
    assert_same(run(family, model), plain)


@pytest.mark.parametrize("before", [True, False], ids=["offloaded-first", "cached-first"])
@pytest.mark.parametrize("cls", [FluxPipeline, FluxImg2ImgPipeline])
def test_a_pipeline(cls, before):
    """``enable_model_cpu_offload``: every run's end takes the hooks off and sets them anew."""
    pipe = make_pipeline(cls, vae=make_vae())
    plain = draw(pipe, steps=9)
    with cache(pipe, CONFIG):
        expected = draw(pipe, steps=9)
    if before:
        pipe.enable_model_cpu_offload(device="cpu")
    enable_cache(pipe, CONFIG)
    if not before:
        assert torch.equal(draw(pipe, steps=9), expected)
        pipe.enable_model_cpu_offload(device="cpu")
    for output_type in ("latent", "pt", "latent"):
        hook = pipe.transformer._hf_hook
        assert isinstance(hook, CpuOffload)
        got = draw(pipe, steps=9, output_type=output_type)
        assert pipe.transformer._hf_hook is not hook
        assert summary(pipe).full == 3 and summary(pipe).cached >= 3
        assert torch.equal(got, expected) or output_type == "pt"
    disable_cache(pipe)
    assert torch.equal(draw(pipe, steps=9), plain)
    pipe.remove_all_hooks()
    assert torch.equal(draw(pipe, steps=9), plain)
