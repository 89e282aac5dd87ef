"""What adds to the stream beside the blocks: ControlNets between them, IP-Adapters within."""

import dataclasses
import weakref

import pytest
import torch
from diffusers.models.transformers.transformer_flux import (
    FluxAttnProcessor,
    FluxIPAdapterAttnProcessor,
)

from clusca_ext import ClusterCorrector, NoCorrection, cache, summary
from families_image import FLUX, sd3
from family import fixed
from test_families import FULL, TIMES, Oracle, assert_close, config, run

SD3 = sd3(())
IP = {"ip_hidden_states": [fixed(2, 4, 32, seed=9)]}


def with_inputs(family, **more):
    inputs = family.inputs
    return dataclasses.replace(family, inputs=lambda noise, t: inputs(noise, t) | more)


def controlled(family):
    samples = [fixed(2, 64, 32, seed=seed) for seed in (3, 4)]
    if family is SD3:
        return with_inputs(family, block_controlnet_hidden_states=samples)
    single = [fixed(2, 64, 32, seed=seed) for seed in (5, 6)]
    return with_inputs(
        family, controlnet_block_samples=samples, controlnet_single_block_samples=single
    )


@pytest.mark.parametrize("family", [FLUX, SD3], ids=str)
def test_controlnet_residuals_are_added_once_a_step(family):
    """Cached features are those of modules: what is added between blocks is no part of them."""
    model, family = family.make(), controlled(family)
    with cache(model, config(NoCorrection()), timesteps=TIMES):
        got = run(family, model)
        assert summary(model).cached == 5
    oracle = Oracle(family, model, 1)
    assert_close(got, run(family, model, oracle.at))


@pytest.mark.parametrize("family", [FLUX, SD3], ids=str)
def test_representatives_see_controlnet_residuals(family):
    model, family = family.make(), controlled(family)
    corrector = ClusterCorrector(num_clusters=family.tokens, gamma=1.0, max_iters=0)
    with cache(model, config(corrector, steps=(0,)), timesteps=TIMES):
        got = run(family, model)
    oracle = Oracle(family, model, 1, computed=family.mlps, full=(0,))
    assert_close(got, run(family, model, oracle.at))


def load_ip_adapter(model):
    torch.manual_seed(5)
    for block in model.transformer_blocks:
        block.attn.set_processor(FluxIPAdapterAttnProcessor(32, 32, scale=0.7))


def unload_ip_adapter(model):
    for block in model.transformer_blocks:
        block.attn.set_processor(FluxAttnProcessor())


def test_ip_adapter():
    model, family = FLUX.make(), with_inputs(FLUX, joint_attention_kwargs=IP)
    load_ip_adapter(model)
    with cache(model, config(NoCorrection()), timesteps=TIMES):
        got = run(family, model)
        assert summary(model).cached == 5
    without = run(with_inputs(FLUX, joint_attention_kwargs={}), FLUX.make())
    assert not torch.allclose(got[0], without[0])
    oracle = Oracle(family, model, 1)
    assert_close(got, run(family, model, oracle.at))


def test_ip_adapter_loaded_and_unloaded_while_enabled():
    model, family = FLUX.make(), with_inputs(FLUX, joint_attention_kwargs=IP)
    settings = config(ClusterCorrector(num_clusters=8))
    with cache(model, settings, timesteps=TIMES):
        plain = run(FLUX, model)
    load_ip_adapter(model)
    with cache(model, settings, timesteps=TIMES):
        prompted = run(family, model)
    unload_ip_adapter(model)
    with cache(model, settings, timesteps=TIMES):
        for a, b in zip(run(FLUX, model), plain, strict=True):
            assert torch.equal(a, b)
        load_ip_adapter(model)
        for a, b in zip(run(family, model), prompted, strict=True):
            assert torch.equal(a, b)
        unload_ip_adapter(model)
        for a, b in zip(run(FLUX, model), plain, strict=True):
            assert torch.equal(a, b)


def test_ip_adapter_loaded_within_a_run():
    model, family = FLUX.make(), with_inputs(FLUX, joint_attention_kwargs=IP)
    loaded = []

    def load(step):
        if step == FULL[1]:
            load_ip_adapter(model)
            loaded.append(step)

    with cache(model, config(NoCorrection()), timesteps=TIMES):
        with pytest.raises(ValueError, match="IP-Adapters must be loaded and unloaded between run"):
            run(with_inputs(FLUX, joint_attention_kwargs=IP), model, load)
        assert loaded
        for output in run(family, model):
            assert output.isfinite().all()


def test_residuals_are_not_held_from_call_to_call():
    """A ControlNet makes those of the next step while those of the last one would be held."""
    model, family = FLUX.make(), with_inputs(FLUX)
    noise = fixed(*FLUX.noise)
    with cache(model, config(NoCorrection())):
        for time in TIMES[:3]:
            residuals = [fixed(2, 64, 32, seed=3)]
            alive = weakref.ref(residuals[0])
            with torch.no_grad():
                model(**family.inputs(noise, time), controlnet_block_samples=residuals)
            del residuals
            assert alive() is None
