"""Gradients of routers in half precision, beside those of float32."""

import copy

import pytest
import torch

from clusca_ext import FrequencyForecaster, TaylorForecaster
from clusca_ext.adapters import describe
from clusca_ext.learning import Call, Mixer, Price, Routers, calibrate
from clusca_ext.learning.history import History
from clusca_ext.learning.objective import learn_step
from small_dit import make_dit, sample
from tiny_router import STEPS, sampler

SMALLEST = 2.0**-24  # of float16


def call_at(timestep, x):
    labels = torch.arange(len(x)) % 3
    return Call((x,), {"timestep": torch.full((len(x),), timestep), "class_labels": labels})


def gradients(model, dtype, scale):
    """Of a step's logits, where computing costs nothing."""
    model = copy.deepcopy(model).to(dtype)
    mixer = Mixer(describe(model), TaylorForecaster(order=1))
    routers = Routers(mixer.keys, mixer.learnt, 6, (3,), torch.Generator().manual_seed(1))
    noise = torch.randn(32, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    history = History()
    with mixer.installed():
        for step, timestep in ((0, 900), (1, 700)):
            mixer.full(call_at(timestep, (noise * (1 - step / 9)).to(dtype)), step, history)
        call = call_at(300, (0.6 * noise).to(dtype))
        learn_step(mixer, routers, Price(penalty=0.0), call, 3, history, (scale, 1.0))
    return routers.of_step(3).grad / scale


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e-8])  # weights of HarmoniCa's steps
@pytest.mark.parametrize("dtype, within", [(torch.float16, 0.03), (torch.bfloat16, 0.1)])
def test_half_precision_has_the_gradients_of_float32(dtype, within, scale, model):
    expected = gradients(model, torch.float32, 1.0)
    assert expected.abs().max() < SMALLEST * 1e3  # a plain mean's would lose what is smaller
    found = gradients(model, dtype, scale)
    assert (found - expected).norm() < within * expected.norm()
    assert torch.equal(gradients(model, torch.float32, 2.0**-13), expected)  # to the bit


def test_a_forecaster_that_the_cache_does_not_apply_to_a_module_is_refused(model):
    """FreqCa's splits what is kept when a full step ends, of all modules."""
    forecaster = FrequencyForecaster(forecaster=TaylorForecaster(order=1))
    with pytest.raises(ValueError, match="forecaster must forecast what a module .* got Frequency"):
        Mixer(describe(model), forecaster)


def test_outputs_that_are_no_numbers_measure_nothing():
    """As those of float16 that overflow: no module would ever be within a bound."""
    model = make_dit()
    with torch.no_grad():
        model.transformer_blocks[1].ff.net[2].weight.fill_(torch.inf)
    with pytest.raises(ValueError, match="sample must draw by outputs that are finite, got NaN"):
        calibrate(model, sampler(model), num_steps=STEPS, max_gap=2)
    assert not model.transformer_blocks[0].attn1._forward_hooks
    assert sample(model).shape[0] > 0
