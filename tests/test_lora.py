"""LoRAs: loaded, switched and unloaded while a cache is on, they act as without it."""

import dataclasses

import pytest
import torch
from peft import LoraConfig

from clusca_ext import ClusCaConfig, ClusterCorrector, ExplicitSchedule, NoCorrection, cache
from families_image import FLUX
from families_video import wan
from test_families import TIMES, Oracle, run

CONFIG = ClusCaConfig(
    schedule=ExplicitSchedule(steps=(0, 2, 5)), corrector=ClusterCorrector(num_clusters=8)
)


@pytest.fixture(params=[FLUX, wan(False)], ids=str)
def family(request):
    return request.param


def load(model, name, seed):
    """A LoRA on attention, MLPs and, in FLUX, the output projections that are cached themselves."""
    torch.manual_seed(seed)
    targets = ["to_q", "to_out.0", "proj_out", "net.2"]
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=targets, init_lora_weights=False)
    model.add_adapter(lora, adapter_name=name)


def cached(family, model):
    with cache(model, CONFIG, timesteps=TIMES):
        return run(family, model)


def same(got, expected):
    return all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_loaded_before(family):
    model = family.make()
    plain, plain_cached = run(family, model), cached(family, model)
    load(model, "one", 1)
    with_lora, with_lora_cached = run(family, model), cached(family, model)
    assert not same(with_lora, plain) and not same(with_lora_cached, plain_cached)
    for step in (0, 2, 5):
        assert torch.equal(with_lora_cached[step], with_lora[step])
    model.delete_adapters("one")


def test_loaded_switched_and_unloaded_while_enabled(family):
    model = family.make()
    plain = cached(family, model)
    load(model, "one", 1)
    one = cached(family, model)
    load(model, "two", 2)
    model.set_adapter("two")
    two = cached(family, model)
    assert not same(one, two)

    model = family.make()
    with cache(model, CONFIG, timesteps=TIMES):
        assert same(run(family, model), plain)
        load(model, "one", 1)
        assert same(run(family, model), one)
        load(model, "two", 2)
        model.set_adapter("two")
        assert same(run(family, model), two)
        model.set_adapter("one")
        assert same(run(family, model), one)
        model.unload_lora()
        assert same(run(family, model), plain)
    assert not any(block._forward_hooks for block in model.modules())


def test_fused(family):
    model = family.make()
    load(model, "one", 1)
    expected = cached(family, model)
    with cache(model, CONFIG, timesteps=TIMES):
        run(family, model)
        model.fuse_lora(adapter_names=["one"])
        for a, b in zip(run(family, model), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        model.unfuse_lora()
        for a, b in zip(run(family, model), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_scaled_in_the_call():
    """Its modulation is scaled during the model's call only, which plans are made before."""
    model = FLUX.make()
    torch.manual_seed(1)
    lora = LoraConfig(r=4, target_modules=["norm1.linear"], init_lora_weights=False)
    model.add_adapter(lora)
    scaled = {"joint_attention_kwargs": {"scale": 0.3}}
    family = dataclasses.replace(FLUX, inputs=lambda noise, t: FLUX.inputs(noise, t) | scaled)
    config = dataclasses.replace(CONFIG, corrector=NoCorrection())
    with cache(model, config, timesteps=TIMES):
        got = run(family, model)
    for a, b in zip(got, run(family, model, Oracle(family, model, 1).at), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
