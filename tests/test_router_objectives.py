"""What routers learn: gradients of the package against autograd of losses written out plainly."""

import pytest
import torch

from clusca_ext import ReuseForecaster, TaylorForecaster
from clusca_ext.adapters import describe
from clusca_ext.learning import Call, Mixer, PairObjective, Price, Routers, RunObjective
from clusca_ext.learning.pairs import Pair
from plain_mixture import PlainMixture
from small_dit import CLASSES, sample, scheduler_of, widen
from tiny_router import CACHED, STEPS, sampler

LAMBDA = 1e-4  # of the size of what a beta changes in the error
FORECASTERS = [ReuseForecaster(), TaylorForecaster(order=1)]


def made(model, forecaster):
    """With wide gates, so that betas matter."""
    mixer = Mixer(describe(widen(model)), forecaster)
    return mixer, Routers(mixer.keys, mixer.learnt, STEPS, CACHED, torch.Generator().manual_seed(3))


def logits_of(routers):
    """Copies that a plain loss differentiates, and the betas they make."""
    logits = {step: routers.of_step(step).detach().clone().requires_grad_() for step in CACHED}
    return logits, {
        step: dict(zip(routers.learnt, logits[step].sigmoid(), strict=True)) for step in CACHED
    }


def rounded(betas, threshold):
    """0 or 1, where gradients go straight through."""
    return {key: b + (float(b > threshold) - b).detach() for key, b in betas.items()}


def inputs_of(model):
    """Of every step of a run: rows, timestep and labels."""
    given = []
    handle = model.register_forward_pre_hook(
        lambda module, args, kwargs: given.append((args[0], *kwargs.values())), with_kwargs=True
    )
    sampler(model)(0)
    handle.remove()
    return given


class Recorded:
    """Pairs of one run."""

    num_steps = STEPS

    def __init__(self, given):
        self.calls = [Call((x,), {"timestep": t, "class_labels": c}) for x, t, c in given]

    def about(self):
        return {}

    def pair(self, iteration, step, before, generator):
        return Pair(step, self.calls[step], tuple((i, self.calls[i]) for i in before))


@pytest.mark.parametrize("forecaster", FORECASTERS, ids=["reuse", "taylor"])
@pytest.mark.parametrize("threshold", [None, 0.5], ids=["soft", "rounded"])
def test_a_pair_of_learning_to_cache(forecaster, threshold, model):
    """MSE(full model, mixed model) + lambda * sum(beta), the inputs those of the full run."""
    mixer, routers = made(model, forecaster)
    given = inputs_of(model)
    price = Price(penalty=LAMBDA, threshold=threshold)
    objective = PairObjective(mixer, routers, Recorded(given), price)
    seen = set()
    for iteration in range(3):
        routers.zero_grad(set_to_none=True)
        generator = torch.Generator().manual_seed(iteration)
        with mixer.installed():
            measured = objective.backward(iteration, generator)
        (step,) = [each for each in CACHED if routers.of_step(each).grad is not None]
        seen.add(step)
        logits, betas = logits_of(routers)
        used = betas[step] if threshold is None else rounded(betas[step], threshold)
        plain = PlainMixture(model, {step: used}, forecaster.order)
        with torch.no_grad():
            for full in [each for each in range(step) if each not in CACHED]:
                plain.at(full, *given[full])
            x, time, labels = given[step]
            target = model(x, timestep=time, class_labels=labels).sample
        error = (plain.at(step, *given[step]) - target).square().mean()
        loss = error + LAMBDA * sum(used.values())
        (expected,) = torch.autograd.grad(loss, logits[step])
        assert measured.error == pytest.approx(error.item(), rel=1e-4)
        torch.testing.assert_close(routers.of_step(step).grad, expected, rtol=1e-3, atol=1e-7)
        (price_alone,) = torch.autograd.grad(LAMBDA * logits[step].sigmoid().sum(), logits[step])
        assert (expected - price_alone).norm() > 0.1 * expected.norm()  # the error has its part
    assert seen == set(CACHED)


@pytest.mark.parametrize("forecaster", FORECASTERS, ids=["reuse", "taylor"])
def test_a_run_of_harmonica(forecaster, model):
    """lambda_t * MSE + lambda * sum(beta) of every cached step, on the student's own run."""
    mixer, routers = made(model, forecaster)
    price = Price(penalty=LAMBDA)
    theta = 0.5
    objective = RunObjective(mixer, routers, sampler(model), price, theta=theta)
    logits, betas = logits_of(routers)
    with mixer.installed():
        measured = objective.backward(0, torch.Generator())
    images, order = [], forecaster.order
    for step in CACHED:  # the error of the image when this step alone is mixed
        alone = PlainMixture(model, {step: betas[step]}, order)
        images.append(plain_sample(alone, lambda *_: None))
    full = sample(model, steps=STEPS, samples=1)
    weights = torch.stack([(image - full).double().square().mean() for image in images])
    weights = dict(zip(CACHED, (weights / weights.mean()).tolist(), strict=True))
    losses, errors = [], []

    def learn(step, out, given):
        if step in CACHED:
            with torch.no_grad():
                x, time, labels = given
                target = model(x, timestep=time, class_labels=labels).sample
            errors.append((out - target).square().mean())
            losses.append(weights[step] * errors[-1] + LAMBDA * sum(betas[step].values()))

    plain_sample(PlainMixture(model, betas, order, theta), learn)
    found = torch.autograd.grad(sum(losses), list(logits.values()))
    assert measured.error == pytest.approx(sum(errors).item() / len(CACHED), rel=1e-3)
    assert max(weights.values()) > 1.02 * min(weights.values())
    for step, expected in zip(CACHED, found, strict=True):
        got = routers.of_step(step).grad
        assert (got - expected).norm() < 1e-3 * expected.norm()


def plain_sample(plain, on_step):
    """``small_dit.sample`` of one picture, by a model whose graph ends at each step."""
    scheduler = scheduler_of(STEPS)
    x = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, CLASSES])
    for step, timestep in enumerate(scheduler.timesteps):
        given = torch.cat([x, x]), timestep.expand(2), labels
        out = plain.at(step, *given)
        on_step(step, out, given)
        cond, uncond = out.detach().chunk(2)
        x = scheduler.step(uncond + 1.5 * (cond - uncond), timestep, x).prev_sample
    return x
