"""Forecasters over whole runs, against their equations in plain torch on outputs that are kept."""

from dataclasses import replace

import pytest
import torch

from allocation import allocated
from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    DampedForecaster,
    ExplicitSchedule,
    FrequencyForecaster,
    HermiteForecaster,
    LeanStorage,
    NewtonForecaster,
    NoCorrection,
    SpacedHermiteForecaster,
    TaylorForecaster,
    cache,
    enable_cache,
    estimate_memory,
    summary,
)
from clusca_ext.cache import Cache
from plain_forecasts import (
    Cumulative,
    PerModule,
    damped_newton,
    damped_taylor,
    mean_spacing,
    newton,
    plain_run,
    spaced_hermite,
    split,
)
from small_dit import make_dit, options, sample
from test_equations import PickedByRule, assert_same_run

STEPS = 14
FULL = (0, 1, 3, 7, 10)  # spacings 1, 2, 4, 3
SCHEDULE = ExplicitSchedule(steps=FULL)
GATED = LeanStorage(basis="gated")


CASES = {
    "newton-1": (NewtonForecaster(order=1, bounded=False), newton(1)),
    "newton-2": (NewtonForecaster(order=2, bounded=False), newton(2)),
    "newton-3": (NewtonForecaster(order=3), newton(3)),
    "damped": (
        DampedForecaster(forecaster=TaylorForecaster(order=2, bounded=False), eta=0.8),
        damped_taylor,
    ),
    "damped newton": (
        DampedForecaster(forecaster=NewtonForecaster(order=2), eta=0.5),
        damped_newton,
    ),
    "spaced hermite": (SpacedHermiteForecaster(), lambda *of: spaced_hermite(*of, lambda past: 1)),
    "spaced hermite by spacing": (
        SpacedHermiteForecaster(unit="spacing"),
        lambda *of: spaced_hermite(*of, mean_spacing),
    ),
    "freqca": (
        FrequencyForecaster(
            forecaster=HermiteForecaster(order=2, sigma=0.71, bounded=False), low_band=0.3
        ),
        split,
    ),
    "freqca, bounded": (
        FrequencyForecaster(forecaster=HermiteForecaster(order=2, sigma=0.71), low_band=0.3),
        split,
    ),
}


def config_of(forecaster, **more):
    parts = {"schedule": SCHEDULE, "corrector": NoCorrection()}
    return ClusCaConfig(forecaster=forecaster, **parts, **more)


def drawn(model, config, known=True, **how):
    told = options(STEPS) if known else {"cfg_rows": ("cond", "uncond")}
    with cache(model, config, **told):
        return sample(model, STEPS, **how)


def is_bounded(forecaster):
    inner = getattr(forecaster, "forecaster", forecaster)
    return inner.bounded


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_of_every_module(name, known, device):
    forecaster, predict = CASES[name]
    model = make_dit(device)
    expected = plain_run(model, PerModule(model, FULL, predict, is_bounded(forecaster)), STEPS)
    got = drawn(model, config_of(forecaster), known)
    assert (got - expected).norm() <= 1e-5 * expected.norm()
    reused = plain_run(model, PerModule(model, FULL, lambda past, at: past[-1][1], False), STEPS)
    assert (got - reused).norm() > 1e-3 * expected.norm()  # the forecast is seen at all


@pytest.mark.parametrize("name", CASES)
def test_of_the_cumulative_residual(name, device):
    forecaster, predict = CASES[name]
    model = make_dit(device)
    expected = plain_run(model, Cumulative(model, FULL, predict, is_bounded(forecaster)), STEPS)
    got = drawn(model, config_of(forecaster, storage=GATED))
    assert (got - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize("basis", ["exact", "window"])
@pytest.mark.parametrize("name", [name for name in CASES if "freqca" not in name])
def test_lean_sums_forecast_as_modules_do(name, basis, device):
    model, (forecaster, _) = make_dit(device), CASES[name]
    expected = drawn(model, config_of(forecaster))
    got = drawn(model, config_of(forecaster, storage=LeanStorage(basis=basis)))
    assert (got - expected).norm() <= {"exact": 2e-6, "window": 0.02}[basis] * expected.norm()


@pytest.mark.parametrize("name", CASES)
def test_persistent_corrections_edit_the_same_forecast(name, device):
    """Kept as differences or as outputs, where what is corrected is nothing."""
    model, (forecaster, _) = make_dit(device), CASES[name]
    persistent = ClusterCorrector(rule="value", persistent=True, gamma=0.0, num_clusters=1)
    edits = replace(config_of(forecaster), corrector=persistent)
    with cache(model, edits, **options(STEPS)):
        for module in Cache.of(model).modules.values():
            module.corrected = False
        got = sample(model, STEPS)
    expected = drawn(model, config_of(forecaster))
    assert (got - expected).norm() <= 1e-5 * expected.norm()


def test_newton_beside_persistent_clusters(device):
    """Of order 1 it is Taylor, whose transcription knows them."""
    corrector = ClusterCorrector(
        num_clusters=8, rule="value", persistent=True, share_cfg=False, selection=PickedByRule()
    )
    taylor = ClusCaConfig(schedule=SCHEDULE, forecaster=TaylorForecaster(), corrector=corrector)
    assert_same_run(device, taylor, steps=STEPS)
    model = make_dit(device)
    newton = replace(taylor, forecaster=NewtonForecaster(order=1))
    expected = drawn(model, taylor)
    assert (drawn(model, newton) - expected).norm() <= 1e-5 * expected.norm()


STORED = [("freqca", "per_block"), ("freqca", GATED), ("newton-2", "per_block")]


@pytest.mark.parametrize("name, storage", STORED, ids=str)
def test_graphs_replay_what_eager_steps_do(name, storage, graphs, device):
    model, config = make_dit(device), config_of(CASES[name][0], storage=storage)
    expected = drawn(model, replace(config, cuda_graph=False))
    with cache(model, config, **options(STEPS)):
        for _ in range(2):
            assert torch.equal(sample(model, STEPS), expected)
            assert summary(model).cached_step == "one CUDA graph"


@pytest.mark.parametrize("name, storage", STORED, ids=str)
def test_a_run_takes_what_was_estimated(name, storage):
    config, size = config_of(CASES[name][0], storage=storage), 32
    model = make_dit(attention_head_dim=160, sample_size=size)
    estimate = estimate_memory(model, (4, 1, size, size), config, num_steps=STEPS)
    held = enable_cache(model, config, **options(STEPS))
    live, _ = allocated(lambda: sample(held, STEPS, size=size))
    planned = Cache.of(model).branch.plan.bytes()
    assert abs(live - planned - estimate.total) <= 0.02 * live


@pytest.mark.parametrize("storage", ["per_block", GATED], ids=str)
def test_a_picture_does_not_depend_on_its_batch(storage):
    model, config = make_dit(), config_of(CASES["freqca"][0], storage=storage)
    both, alone = drawn(model, config, samples=2), drawn(model, config, samples=1)
    plain = sample(model, STEPS, samples=2)[:1] - sample(model, STEPS, samples=1)
    assert (both[:1] - alone).norm() <= 10 * plain.norm() + 1e-5


@pytest.mark.parametrize("storage", ["per_block", GATED], ids=str)
def test_half_precision(storage):
    """Errors of rounding at most twice those without the filter, both against float32."""
    model, half = make_dit(), make_dit(dtype=torch.bfloat16)
    errors = []
    for forecaster in (CASES["freqca"][0], CASES["freqca"][0].forecaster):
        config = config_of(forecaster, storage=storage)
        truth = drawn(model, config)
        errors.append((drawn(half, config).float() - truth).norm() / truth.norm())
    assert errors[0] <= 2 * errors[1]


@pytest.mark.parametrize("low_band, same", [(1.0, TaylorForecaster(order=0)), (0.3, None)])
def test_all_frequencies_low_is_reuse(low_band, same, device):
    model = make_dit(device)
    split = FrequencyForecaster(forecaster=TaylorForecaster(bounded=False), low_band=low_band)
    reused = drawn(model, config_of(TaylorForecaster(order=0)))
    got = drawn(model, config_of(split))
    assert ((got - reused).norm() <= 1e-5 * reused.norm()) == (same is not None)
    with torch.inference_mode():
        torch.testing.assert_close(drawn(model, config_of(split)), got)
