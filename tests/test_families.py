"""Every family against the same oracle: its own model, with hooks that replace what is cached."""

import math

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    ExplicitSchedule,
    IntervalSchedule,
    NoCorrection,
    TaylorForecaster,
    cache,
    summary,
)
from clusca_ext.cache import Cache
from families_image import IMAGES
from families_video import VIDEOS
from family import Family

TIMES = [950.0, 900.0, 800.0, 720.0, 600.0, 500.0, 350.0, 200.0]
FULL = (0, 2, 5)


@pytest.fixture(params=IMAGES + VIDEOS, ids=str)
def family(request):
    return request.param


@torch.no_grad()
def run(family: Family, model, on_step=None, times=TIMES):
    """Steps with fresh noise each, so that every one of them says whether it was right."""
    outputs = []
    for step, timestep in enumerate(times):
        noise = torch.randn(family.noise, generator=torch.Generator().manual_seed(step))
        if on_step is not None:
            on_step(step)
        output = model(**family.inputs(noise, timestep), return_dict=False)[0]
        outputs.append(torch.stack(output) if isinstance(output, list) else output)
    return outputs


class Oracle:
    """Forecasts in plain torch: hooks on the modules return a Taylor sum of what they kept."""

    def __init__(self, family, model, order, computed=(), full=FULL):
        self.order, self.full, self.step, self.history = order, full, 0, {}
        hook = self.gated_hook if family.gated else self.hook
        for name in family.modules:
            if name not in computed:
                model.get_submodule(name).register_forward_hook(hook)

    def at(self, step):
        self.step = step

    def hook(self, module, args, output):
        several = output if isinstance(output, tuple) else (output,)
        history = self.history.setdefault(module, [])
        if self.step in self.full:
            history.append((self.step, several))
            return None
        last, now = history[-1]
        forecast = now
        if self.order and len(history) > 1:
            before, old = history[-2]
            if self.step - last <= last - before:  # bounded
                d = (self.step - last) / (last - before)
                forecast = tuple(a + d * (a - b) for a, b in zip(now, old, strict=True))
        return forecast if isinstance(output, tuple) else forecast[0]

    def gated_hook(self, module, args, output):
        tokens, gate = args
        forecast = self.hook(module, args, module.forward(tokens))
        return None if forecast is None else forecast * gate


def config(corrector, order=1, steps=FULL):
    return ClusCaConfig(
        schedule=ExplicitSchedule(steps=steps),
        forecaster=TaylorForecaster(order=order),
        corrector=corrector,
    )


def assert_close(got, expected):
    for step, (a, b) in enumerate(zip(got, expected, strict=True)):
        assert a.isfinite().all() and not math.isclose(a.std().item(), 0)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=lambda m, s=step: f"{s}: {m}")


def test_interval_1_is_the_untouched_model(family):
    model = family.make()
    expected = run(family, model)
    every = ClusCaConfig(schedule=IntervalSchedule(interval=1))
    with cache(model, every, timesteps=TIMES):
        for a, b in zip(run(family, model), expected, strict=True):
            assert torch.equal(a, b)
    for a, b in zip(run(family, model), expected, strict=True):
        assert torch.equal(a, b)


def is_planned(block):
    return block.substituted and block.planned is not None


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("known", [True, False], ids=["planned", "unplanned"])
def test_forecasts(family, order, known):
    model, planned = family.make(), []
    with cache(model, config(NoCorrection(), order), timesteps=TIMES if known else None):
        held = Cache.of(model)
        held.blocks[0].block.register_forward_pre_hook(
            lambda *_: planned.append(all(map(is_planned, held.blocks)))
        )
        got = run(family, model)
        assert (summary(model).full, summary(model).cached) == (3, 5)
        assert (summary(model).representatives, summary(model).tokens) == (0, family.tokens)
        assert (held.branch.plan.bytes() > 0) == (known and family.planned)
    assert planned == [known and family.planned and step not in FULL for step in range(8)]
    oracle = Oracle(family, model, order)
    assert_close(got, run(family, model, oracle.at))


def test_every_token_its_own_cluster_is_the_mlp_itself(family):
    """With gamma 1 and K = N the MLPs are computed, on what is forecast of the rest.

    One full step: centroids that begin as other tokens would not divide the next ones so.
    """
    model = family.make()
    corrector = ClusterCorrector(num_clusters=family.tokens, gamma=1.0, max_iters=0)
    with cache(model, config(corrector, steps=(0,)), timesteps=TIMES):
        got = run(family, model)
        assert summary(model).representatives == summary(model).tokens == family.tokens
    oracle = Oracle(family, model, 1, computed=family.mlps, full=(0,))
    assert_close(got, run(family, model, oracle.at))


def test_the_second_run_equals_the_first(family):
    """Bit for bit, whatever torch's own generators do: forecasts, clusters and representatives."""
    model = family.make()
    settings = config(ClusterCorrector(num_clusters=8))
    with cache(model, settings, timesteps=TIMES):
        first = run(family, model)
        assert (summary(model).full, summary(model).cached) == (3, 5)
        torch.manual_seed(1234)
        for again, before in zip(run(family, model), first, strict=True):
            assert torch.equal(again, before)
    with cache(model, settings, timesteps=TIMES):
        for again, before in zip(run(family, model), first, strict=True):
            assert torch.equal(again, before)
