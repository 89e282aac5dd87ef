"""Runs in lean storage: what they share with per-block ones, and what they refuse."""

from dataclasses import replace

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    EvenSchedule,
    ExplicitSchedule,
    HermiteForecaster,
    IntervalSchedule,
    LeanStorage,
    NoCorrection,
    TaylorForecaster,
    cache,
    summary,
)
from clusca_ext.cache import Cache
from families_image import FLUX
from small_dit import make_dit, options, sample
from test_branches import draw, wan_pipeline
from test_control import SD3, controlled
from test_families import TIMES
from test_families import run as run_family
from test_lean_families import error

STEPS = 13
CONFIG = ClusCaConfig(
    schedule=IntervalSchedule(interval=4, warmup=2), corrector=NoCorrection(), storage="lean"
)
CLUSTERED = replace(CONFIG, corrector=ClusterCorrector(num_clusters=5))
BASES = ("window", "exact", "gated")


def basis(name, config=CONFIG, **more):
    return replace(config, storage=LeanStorage(basis=name, **more))


def per_block(config):
    return replace(config, storage="per_block")


def drawn(model, config, steps=STEPS, known=True, **how):
    given = options(steps) if known else {"cfg_rows": ("cond", "uncond")}
    with cache(model, config, **given):
        out = sample(model, steps, **how)
        return out, summary(model)


@pytest.mark.parametrize(
    "forecaster",
    [
        TaylorForecaster(order=0),
        TaylorForecaster(order=1),
        TaylorForecaster(order=2),
        TaylorForecaster(order=3, bounded=False),
        HermiteForecaster(),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "schedule",
    [
        IntervalSchedule(interval=4, warmup=2),
        EvenSchedule(interval=5, tail=2),
        ExplicitSchedule(steps=(0, 1, 5, 6, 9)),
        IntervalSchedule(interval=1),
    ],
    ids=str,
)
def test_exact_equals_per_block(schedule, forecaster, device):
    model = make_dit(device)
    config = replace(CONFIG, schedule=schedule, forecaster=forecaster)
    got, said = drawn(model, basis("exact", config))
    expected, _ = drawn(model, per_block(config))
    assert "lean, exact" in str(said)
    assert error([got], [expected]) <= 2e-6


@pytest.mark.parametrize("name", BASES)
def test_full_steps_are_the_models_own(name):
    model = make_dit()
    expected = sample(model, STEPS)
    config = replace(basis(name, CLUSTERED), schedule=IntervalSchedule(interval=1))
    assert torch.equal(drawn(model, config)[0], expected)
    drawn(model, basis(name, CLUSTERED))
    assert torch.equal(sample(model, STEPS), expected)


@pytest.mark.parametrize("name", BASES)
def test_a_picture_does_not_depend_on_its_batch(name):
    """But for what the model's own products of matrices do."""
    model, config = make_dit(), basis(name, CLUSTERED, **RANK.get(name, {}))
    both, _ = drawn(model, config, samples=2)
    alone, _ = drawn(model, config, samples=1)
    plain = sample(model, STEPS, samples=2)[:1] - sample(model, STEPS, samples=1)
    assert (both[:1] - alone).norm() <= 10 * plain.norm() + 1e-5


RANK = {"window": {"rank": "auto"}}


@pytest.mark.parametrize("name", BASES)
def test_half_precision(name):
    """Errors of rounding at most twice those of per-block storage, both against float32."""
    model, half = make_dit(), make_dit(dtype=torch.bfloat16)
    config = basis(name, CONFIG)
    truth, _ = drawn(model, config)
    ours = error([drawn(half, config)[0]], [truth])
    theirs = error([drawn(half, per_block(config))[0]], [drawn(model, per_block(config))[0]])
    assert ours <= 2 * theirs


@pytest.mark.parametrize("name", [*BASES, "auto"])
def test_autocast(name):
    model, config = make_dit(), basis(name, CLUSTERED)
    expected, _ = drawn(model, config)
    with torch.autocast("cpu", torch.bfloat16):
        got, _ = drawn(model, config)
    assert error([got], [expected]) < 0.05


@pytest.mark.parametrize("config", [CONFIG, CLUSTERED], ids=["forecast", "clusters"])
def test_a_run_goes_on_with_another_batch(config):
    """As where guidance ends: its step is full, and the rest of the run is planned anew."""
    model, noise = make_dit(), torch.randn(4, 1, 16, 16)
    times, kinds = [900, 800, 700, 600, 500, 400, 300, 200], []
    with torch.no_grad(), cache(model, config, timesteps=times):
        for step, timestep in enumerate(times):
            rows = slice(0, 4 if step < 4 else 2)
            labels = torch.arange(4)[rows]
            model(noise[rows], timestep=torch.tensor([timestep]), class_labels=labels)
            kinds.append(Cache.of(model).branch.kinds[-1])
    assert kinds == ["full", "full", *["cached"] * 2, "full", *["full"], *["cached"] * 2]


@pytest.mark.parametrize("name", ["auto", "exact", "shared-emb", "gated"])
def test_branches_that_call_apart(name):
    pipe = wan_pipeline()
    config = basis(name, CLUSTERED)
    config = replace(config, schedule=ExplicitSchedule(steps=(0, 2, 4)))
    with cache(pipe, config):
        first = draw(pipe)
        done = summary(pipe)
        assert (done.branches, done.full, done.cached) == (2, 3, 3)
        assert torch.equal(draw(pipe), first)
    with cache(pipe, per_block(config)):
        assert error([first], [draw(pipe)]) < 0.1


@pytest.mark.parametrize("name", ["exact", "gated"])
@pytest.mark.parametrize("family", [FLUX, SD3], ids=str)
def test_controlnet_residuals_are_added_once(family, name):
    """What is added to the stream between blocks is no part of the sums."""
    model, given = family.make(), controlled(family)
    config = replace(CONFIG, schedule=ExplicitSchedule(steps=(0, 2, 5)))
    outputs = []
    for each in (basis(name, config), per_block(config)):
        with cache(model, each, timesteps=TIMES):
            outputs.append(run_family(given, model))
    assert error(*outputs) <= (2e-6 if name == "exact" else 0.05)


def test_an_exception_leaves_nothing_half_done():
    model, config = make_dit(), CLUSTERED
    expected, _ = drawn(model, config)
    with cache(model, config, **options(STEPS)):

        def fail(module, args):
            raise KeyError("broken")

        for step in (1, 3):
            handle = []

            def arm(now, step=step, handle=handle):
                if now == step:
                    block = model.transformer_blocks[1]
                    handle.append(block.register_forward_pre_hook(fail))

            with pytest.raises(KeyError):
                sample(model, STEPS, on_step=arm)
            handle[0].remove()
            assert torch.equal(sample(model, STEPS), expected)
