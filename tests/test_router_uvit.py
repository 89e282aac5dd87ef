"""Routers of a U-ViT: trained with its long skips, against a plain transcription, and resumed."""

import pytest
import torch
import torch.nn.functional as F

from clusca_ext import TaylorForecaster
from clusca_ext.adapters import describe
from clusca_ext.learning import (
    Mixer,
    PairObjective,
    Price,
    Routers,
    RunObjective,
    Training,
    TrainingSettings,
    TrajectoryPairs,
)
from plain_masks import PlainUViT
from test_uvit import ADAPTER, UViT
from tiny_router import CACHED, STEPS

LAMBDA = 1e-4
TIMES = [1000 - 100 * step for step in range(STEPS)]


def sampled(model, seed=0):
    """Small steps, so that later ones are like earlier ones."""
    x = torch.randn(2, 40, 24, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for time in TIMES:
            x = x - 0.1 * model(x, torch.full((2,), time))[:, 1:]
    return x


def training_of(model, folder, source="trajectory", iterations=6, order=0, penalty=LAMBDA):
    settings = TrainingSettings(iterations=iterations, learning_rate=0.1, every=2)
    mixer = Mixer(describe(model, ADAPTER), TaylorForecaster(order=order))
    routers = Routers(mixer.keys, mixer.learnt, STEPS, CACHED, settings.generator(-1))
    price = Price(penalty=penalty)

    def sample(seed):
        return sampled(model, seed)

    if source == "run":
        objective = RunObjective(mixer, routers, sample, price, refresh=4)
    else:
        pairs = TrajectoryPairs(model, sample, STEPS, uses=2)
        objective = PairObjective(mixer, routers, pairs, price)
    return Training(mixer, routers, objective, settings, folder, {"source": source})


def logits_of(training):
    return torch.stack([p.detach().clone() for p in training.routers.logits])


class Stop(Exception):
    pass


@pytest.mark.parametrize("source", ["trajectory", "run"])
def test_it_learns_and_goes_on_to_the_same_bits(source, tmp_path):
    """Towards computing, where that costs nothing; the model stays as it was."""
    model = UViT().eval()
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    whole = training_of(model, tmp_path / "whole", source, penalty=0.0)
    first = logits_of(whole)
    whole.run()
    assert len(whole.errors) == 6 and min(whole.errors) > 0
    assert (logits_of(whole) - first).mean() > 0.05
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, weights[name])
        assert parameter.requires_grad and parameter.grad is None
    left = [3]

    def stop(measured):
        left[0] -= 1
        if not left[0]:
            raise Stop

    with pytest.raises(Stop):
        training_of(model, tmp_path / "parts", source, penalty=0.0).run(stop)
    again = training_of(model, tmp_path / "parts", source, penalty=0.0)
    assert again.iteration == 3
    again.run()
    assert torch.equal(logits_of(again), logits_of(whole))
    assert again.errors == whole.errors


@pytest.mark.parametrize("order", [0, 1])
def test_the_first_iteration_is_the_plain_gradient(order, tmp_path):
    """Of MSE(full, mixed) + lambda * sum(beta); AdamW's first move is its sign."""
    model = UViT().eval()
    training = training_of(model, tmp_path, iterations=1, order=order)
    first = logits_of(training)
    training.run()
    (place,) = (logits_of(training) != first).any(1).nonzero().flatten().tolist()
    step, logits = CACHED[place], first[place].requires_grad_()
    given = []
    handle = model.register_forward_pre_hook(lambda module, args: given.append(args))
    sampled(model)
    handle.remove()
    assert step > 1  # two full steps come before it, as order 1 needs
    plain = PlainUViT(model, dict.fromkeys(training.routers.keys, [1] * STEPS), order)
    with torch.no_grad():
        for full in range(0, step, 2):
            plain.step = full
            plain(*given[full])
        target = model(*given[step])
    plain.step = step
    plain.betas = dict(zip(training.routers.learnt, logits.sigmoid(), strict=True))
    error = F.mse_loss(plain(*given[step]), target)
    error_alone = torch.autograd.grad(error, logits, retain_graph=True)[0]
    (expected,) = torch.autograd.grad(error + LAMBDA * sum(plain.betas.values()), logits)
    got = training.routers.of_step(step).grad
    assert training.errors == pytest.approx([error.item()], rel=1e-4)
    assert error_alone.norm() / expected.norm() > 0.1
    assert (got - expected).norm() < 1e-3 * expected.norm()
    moved = logits_of(training)[place] - first[place]
    assert torch.equal(moved.sign(), -expected.sign())
