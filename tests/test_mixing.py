"""A model mixed with forecasts: at the ends it is the model, and what a cache would do."""

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    ExplicitSchedule,
    NoCorrection,
    ReuseForecaster,
    TaylorForecaster,
    cache,
)
from clusca_ext.adapters import describe
from clusca_ext.learning import Call, Mixer, Routers
from clusca_ext.learning.calls import copied, intercepted, prediction, record
from clusca_ext.learning.history import History
from families_image import IMAGES
from families_video import VIDEOS
from family import Family
from test_families import TIMES, run
from test_uvit import ADAPTER, UViT
from test_uvit import run as run_uvit
from tiny_router import STEPS, sampler

FULL = (0, 2, 5)


def calls_of(family, model, times=TIMES):
    return record(model, lambda: run(family, model, times=times))


def mixed_run(mixer, calls, beta, full=FULL):
    """The steps of a run; those that are not full are mixed, with the same beta everywhere."""
    history, outputs = History(), []
    betas = {} if beta is None else dict.fromkeys(mixer.keys, torch.tensor(beta))
    with mixer.installed(), torch.no_grad():
        for step, call in enumerate(calls):
            if step in full:
                outputs.append(prediction(mixer.full(call, step, history)))
            else:
                outputs.append(prediction(mixer.mixed(call, step, history, betas)))
    return outputs


@pytest.fixture(params=IMAGES + VIDEOS, ids=str)
def family(request) -> Family:
    return request.param


def test_between_the_model_and_its_cached_steps(family):
    """At beta 1 the model, but for text; without one what a cache forecasts; or a refusal."""
    model = family.make()
    expected = run(family, model)
    mixer = Mixer(describe(model), TaylorForecaster(order=1))
    calls = calls_of(family, model)
    if family.name == "MochiTransformer3DModel":
        with pytest.raises(ValueError, match="must return what is cached of it as a part"):
            mixed_run(mixer, calls, 1.0)
        return
    has_text = any(block.other is not None for block in mixer.description.blocks)
    mixed = mixed_run(mixer, calls, 1.0)
    for step, (got, whole) in enumerate(zip(mixed, expected, strict=True)):
        if not has_text or step in FULL:  # else test_joint_masks.py has it
            torch.testing.assert_close(got, whole, rtol=1e-5, atol=1e-5)
        else:
            assert (got - whole).norm() > 1e-5 * whole.norm()
    config = ClusCaConfig(
        schedule=ExplicitSchedule(steps=FULL),
        forecaster=TaylorForecaster(order=1),
        corrector=NoCorrection(),
    )
    with cache(model, config, timesteps=TIMES):
        forecast = run(family, model)
    for got, want in zip(mixed_run(mixer, calls, None), forecast, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    for got, whole in zip(run(family, model), expected, strict=True):
        assert torch.equal(got, whole)  # the hooks are gone


@pytest.mark.parametrize("order", [0, 1])
def test_blocks_of_ones_own(order):
    model = UViT().eval()
    calls, forecaster = record(model, lambda: run_uvit(model)), TaylorForecaster(order=order)
    mixer = Mixer(describe(model, ADAPTER), forecaster)
    assert len(mixer.learnt) == len(mixer.keys) == 10
    config = ClusCaConfig(
        schedule=ExplicitSchedule(steps=(0, 1)), forecaster=forecaster, corrector=NoCorrection()
    )
    with cache(model, config, adapter=ADAPTER):
        expected = run_uvit(model)
    for a, b in zip(mixed_run(mixer, calls, 0.0, (0, 1)), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_the_gradient_is_that_of_finite_differences(model):
    """In float64, of every logit of a step."""
    model = model.double()
    calls = [copied(c) for c in record(model, lambda: sampler(model)(0))]
    mixer = Mixer(describe(model), ReuseForecaster())
    keys = mixer.keys
    routers = Routers(keys, mixer.learnt, STEPS, (1,), torch.Generator().manual_seed(0)).double()
    history = History()
    with mixer.installed():
        mixer.full(calls[0], 0, history)

        def loss():
            betas = routers.betas(routers.scores(1))
            return prediction(mixer.mixed(calls[1], 1, history, betas)).square().mean()

        loss().backward()
        assert all(p.grad is None for p in model.parameters())
        logits, eps = routers.of_step(1), 1e-3  # factors are summed in float32
        for index, got in enumerate(logits.grad):
            with torch.no_grad():
                logits[index] += eps
                above = loss().item()
                logits[index] -= 2 * eps
                below = loss().item()
                logits[index] += eps
            assert got.item() == pytest.approx((above - below) / (2 * eps), rel=1e-2, abs=1e-9)


def test_parameters_are_thawed_again(model):
    frozen = next(model.parameters()).requires_grad_(False)
    with Mixer(describe(model)).installed():
        assert not any(p.requires_grad for p in model.parameters())
    assert sum(not p.requires_grad for p in model.parameters()) == 1
    assert not frozen.requires_grad


def test_a_module_of_a_larger_beta_is_kept_as_computed(model):
    calls = record(model, lambda: sampler(model)(0))
    mixer, history = Mixer(describe(model)), History()
    with mixer.installed(), torch.no_grad():
        mixer.full(calls[0], 0, history)
        betas = {key: torch.tensor(0.6 if key[1] == "mlp" else 0.2) for key in mixer.keys}
        mixer.mixed(calls[1], 1, history, betas, refresh=0.5)
    assert {key[1]: history.steps[key] for key in mixer.keys} == {"attn": [0], "mlp": [1, 0]}


def test_what_cannot_be_mixed_is_refused(model):
    with pytest.raises(ValueError, match="the model must be in eval mode"):
        Mixer(describe(model.train()))
    mixer = Mixer(describe(model.eval()))
    (call, *_) = record(model, lambda: sampler(model)(0))
    with mixer.installed(), pytest.raises(ValueError, match="a full step must come before step 1"):
        mixer.mixed(call, 1, History(), {})
    with cache(model), pytest.raises(ValueError, match="the model must have no cache"):
        Mixer(describe(model))
    with pytest.raises(ValueError, match="the model must return a tensor first, got NoneType"):
        prediction((None,))


def test_calls_are_kept_apart_from_what_changes_them(model):
    """Even in inference mode, and where the sampler writes into its latents."""
    steady = torch.zeros(2, dtype=torch.long)
    x = torch.zeros(2, 1, 16, 16)

    def run():
        with torch.inference_mode():
            for value in (1.0, 2.0):
                x.fill_(value)
                model(x, timestep=torch.full((2,), 10), class_labels=steady)

    first, second = record(model, run)
    assert (first.args[0].mean(), second.args[0].mean()) == (1, 2)
    assert first.kwargs["class_labels"] is second.kwargs["class_labels"] is not steady
    assert not first.args[0].is_inference()


def test_calls_can_be_intercepted(model):
    x = torch.zeros(2, 1, 16, 16)
    call = Call((x,), {"timestep": torch.full((2,), 10), "class_labels": torch.tensor([1, 2])})
    with torch.no_grad():
        expected = call.of(model).sample
        with intercepted(model, lambda c: c.of(model).sample + 1):
            assert torch.equal(call.of(model), expected + 1)
        assert torch.equal(call.of(model).sample, expected)
    assert "forward" not in vars(model)
