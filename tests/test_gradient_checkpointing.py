"""Training where blocks are computed again in backward: the same gradients."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from clusca_ext import ReuseForecaster, TaylorForecaster
from clusca_ext.adapters import describe
from clusca_ext.learning import Mixer, PairObjective, Price, Routers, RunObjective
from clusca_ext.learning.calls import prediction, record
from clusca_ext.learning.history import History
from families_image import IMAGES
from families_video import VIDEOS
from family import Family
from small_dit import widen
from test_families import TIMES, run
from tiny_router import CACHED, STEPS, pairs_of, sampler, training_of

FORECASTERS = [ReuseForecaster(), TaylorForecaster(order=1)]
# A module of one cannot be mixed, none of the other has a logit.
APART = ("MochiTransformer3DModel", "CogVideoXTransformer3DModel")


def gradients(model, kind, forecaster, threshold):
    """Of all logits after two iterations, and how often a block was called in backward."""
    mixer = Mixer(describe(model), forecaster)
    first = torch.Generator().manual_seed(3)
    routers = Routers(mixer.keys, mixer.learnt, STEPS, CACHED, first)
    price = Price(penalty=1e-4, threshold=threshold)
    objective = (
        RunObjective(mixer, routers, sampler(model), price, theta=0.5)
        if kind == "run"
        else PairObjective(mixer, routers, pairs_of(model, kind), price)
    )
    again = calls_in_backward(model.transformer_blocks[0])
    with mixer.installed():
        measured = [
            objective.backward(iteration, torch.Generator().manual_seed(iteration))
            for iteration in range(2)
        ]
    return [logits.grad for logits in routers.logits], measured, len(again)


def calls_in_backward(module):
    found = []

    def see(*_):
        if torch._C._current_graph_task_id() >= 0:
            found.append(1)

    module.register_forward_pre_hook(see)
    return found


@pytest.mark.parametrize("forecaster", FORECASTERS, ids=["reuse", "taylor"])
@pytest.mark.parametrize("threshold", [None, 0.5], ids=["soft", "rounded"])
@pytest.mark.parametrize("kind", ["data", "trajectory", "run"])
def test_gradients_are_those_without_it(kind, threshold, forecaster, model):
    """A run keeps some modules as computed at a step, which must not be forecast from then."""
    widen(model)
    expected, measured, none = gradients(model, kind, forecaster, threshold)
    model.enable_gradient_checkpointing()
    got, again, times = gradients(model, kind, forecaster, threshold)
    assert none == 0 and times == (6 if kind == "run" else 2)
    assert again == measured
    assert any(grad is not None for grad in got)
    for a, b in zip(got, expected, strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)


def test_a_trained_router_has_the_same_bits(model, tmp_path):
    widen(model)
    trained = []
    for folder in ("without", "with"):
        training = training_of(model, tmp_path / folder, "run", iterations=3)
        training.run()
        trained.append(torch.stack(list(training.routers.logits)))
        model.enable_gradient_checkpointing()
    assert torch.equal(*trained)


@pytest.fixture(params=[f for f in IMAGES + VIDEOS if f.name not in APART], ids=str)
def family(request) -> Family:
    return request.param


def test_every_family(family):
    """Two steps that are mixed and refreshed, then one backward through both."""
    model = family.make()
    assert model._supports_gradient_checkpointing
    calls = record(model, lambda: run(family, model, times=TIMES[:4]))
    mixer = Mixer(describe(model), TaylorForecaster(order=1))
    seen, grads = [], []
    for _ in range(2):
        draw = torch.Generator().manual_seed(1)
        betas = {key: torch.rand((), generator=draw).requires_grad_() for key in mixer.learnt}
        history, loss = History(), 0.0
        again = calls_in_backward(mixer._parts[mixer.learnt[0]].module)
        with mixer.installed():
            for step, call in enumerate(calls[:2]):
                mixer.full(call, step, history)
            for step, call in enumerate(calls[2:], 2):
                output = mixer.mixed(call, step, history, betas, refresh=0.5)
                loss = loss + prediction(output).square().mean()
            loss.backward()
        grads.append(torch.stack([beta.grad for beta in betas.values()]))
        seen.append(len(again))
        model.enable_gradient_checkpointing()
    assert seen[0] == 0 and seen[1] == 2
    assert torch.equal(*grads) and grads[0].abs().min() > 0


def test_the_models_own_function_is_back(model):
    model.enable_gradient_checkpointing()
    function = model._gradient_checkpointing_func
    mixer, history = Mixer(describe(model)), History()
    calls = record(model, lambda: sampler(model)(0))
    with mixer.installed():
        with pytest.raises(ValueError, match="a full step must come before step 1"):
            mixer.mixed(calls[1], 1, history, {})
        assert model._gradient_checkpointing_func is function
        mixer.full(calls[0], 0, history)
        mixer.mixed(calls[1], 1, history, {})
    assert model._gradient_checkpointing_func is function


def other(reentrant, block):
    """A block that checkpoints itself."""
    forward = block.forward

    def checkpointed(*args, **kwargs):
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(partial(forward, **kwargs), *args, use_reentrant=reentrant)

    block.forward = checkpointed


@pytest.mark.parametrize(
    ("reentrant", "message"),
    [
        (False, "enable_gradient_checkpointing, got another one of block"),
        (True, "must have a gradient, got one without"),
    ],
)
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_another_checkpointing_is_refused(reentrant, message, model, tmp_path):
    block: nn.Module
    for block in model.transformer_blocks:
        other(reentrant, block)
    with pytest.raises(ValueError, match=message):
        training_of(model, tmp_path, "data", iterations=1).run()
