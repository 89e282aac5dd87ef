"""What is kept of a module: outputs give the forecasts that Taylor factors give."""

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    ExplicitSchedule,
    HermiteForecaster,
    NoCorrection,
    TaylorForecaster,
    cache,
    ops,
    reference,
)
from clusca_ext.cache import Cache
from clusca_ext.forecast import differences
from clusca_ext.storage import DeviceConstants, EditableFeature, Feature
from small_dit import make_dit, options, sample

SHAPE = (2, 5, 8)
STEPS = (0, 1, 4, 9, 11, 17, 18)  # of computations; the last three are one step after another
COUNTS = range(1, len(STEPS) + 1)
CPU = DeviceConstants(torch.device("cpu"))


def outputs(dtype):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(SHAPE, generator=generator).to(dtype) for _ in STEPS]


def keep(feature, count, dtype=torch.float64):
    """Compute a module ``count`` times."""
    for step, output in zip(STEPS[:count], outputs(dtype), strict=False):
        compute(feature, step, output)
    return feature


def compute(feature, step, output):
    feature.expect(step, CPU)
    if feature.factors is None:
        feature.allocate(output, output.shape)
    ops.taylor_update_(feature.target, output, feature.rates)
    feature.clock.tick(step)


def forecast(feature, forecaster, ahead=2):
    weights = feature.weights_at(feature.clock.last + ahead, forecaster)
    return ops.taylor_forecast(feature.factors, torch.tensor(weights))


@pytest.mark.parametrize("order", range(6))
def test_differences_are_those_of_taylor_update(order):
    factors = torch.zeros(order + 1, *SHAPE, dtype=torch.float64)
    given = outputs(torch.float64)
    for history, (step, output) in enumerate(zip(STEPS, given, strict=True)):
        spacing = float(step - STEPS[history - 1])
        factors = reference.taylor_update_(factors, output, spacing, history)
    spacings = [b - a for a, b in zip(STEPS, STEPS[1:], strict=False)][::-1]
    for expected, row in zip(factors, differences(spacings[:order]), strict=True):
        got = sum(share * given[-1 - age] for age, share in enumerate(row))
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(
    "forecaster",
    [
        TaylorForecaster(order=0),
        TaylorForecaster(order=1),
        TaylorForecaster(order=3, bounded=False),
        HermiteForecaster(),
    ],
    ids=str,
)
def test_outputs_forecast_what_factors_forecast(forecaster, count):
    order = forecaster.order
    expected = forecast(keep(EditableFeature(order), count, torch.float32), forecaster)
    got = forecast(keep(Feature(order), count, torch.float32), forecaster)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_no_difference_is_rounded():
    exact = forecast(keep(Feature(2), 4, torch.float32), TaylorForecaster(order=2, bounded=False))
    factors, kept = (
        (forecast(keep(kind(2), 4, torch.bfloat16), TaylorForecaster(order=2, bounded=False)))
        for kind in (EditableFeature, Feature)
    )
    assert (kept.float() - exact).norm() < (factors.float() - exact).norm()


def test_a_run_begins_with_nothing_of_the_one_before():
    feature = Feature(1)
    compute(feature, 0, torch.full(SHAPE, torch.nan))
    compute(feature, 1, torch.full(SHAPE, torch.inf))
    feature.restart()
    assert forecast(keep(feature, 1, torch.float32), TaylorForecaster()).isfinite().all()


@pytest.mark.parametrize("known", [True, False])
def test_the_last_step_keeps_nothing(device, known):
    model = make_dit(device)
    config = ClusCaConfig(schedule=ExplicitSchedule(steps=(0, 5)), corrector=NoCorrection())
    seen = []

    def look(_):
        features = Cache.of(model).branch.storage.features.values()
        seen.append([feature.factors.clone() for feature in features])

    with cache(model, config, **(options(6) if known else {})):
        sample(model, 6, on_step=look)
    before, after = seen[-2:]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True)) == known
