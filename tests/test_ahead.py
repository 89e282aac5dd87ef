"""What is forecast for coming steps, summed once an interval: as if summed at each of them."""

from dataclasses import dataclass

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    EvenSchedule,
    ExplicitSchedule,
    HermiteForecaster,
    IntervalSchedule,
    NoCorrection,
    TaylorForecaster,
    cache,
    ops,
    summary,
)
from clusca_ext.cache import Cache
from clusca_ext.storage import ahead
from small_dit import make_dit, options, sample

STEPS = 14
FULL = (0, 4, 9)
LABELS = [torch.tensor([1, 2]), torch.tensor([3, 2])]
TIMES = list(range(900, 0, -100))


@pytest.fixture
def sums(monkeypatch):
    """Steps and modules of each time that sums were made."""
    made, original = [], ops.collapse_forecasts_

    def counting(rows, factors, *args):
        made.append((len(rows), len(factors)))
        return original(rows, factors, *args)

    monkeypatch.setattr(ops, "collapse_forecasts_", counting)
    return made


def config_of(schedule, forecaster=None, corrector=None):
    return ClusCaConfig(
        schedule=schedule,
        forecaster=forecaster or TaylorForecaster(),
        corrector=corrector or ClusterCorrector(gamma=0.5),
    )


def step_by_step(model, config, monkeypatch, **inputs):
    """The same sampled without looking ahead."""
    with monkeypatch.context() as patch, cache(model, config, **options(STEPS)):
        patch.setattr(ahead.Ahead, "use", lambda *args: None)
        return sample(model, STEPS, **inputs)


@pytest.mark.parametrize("corrector", [NoCorrection(), ClusterCorrector(gamma=0.5)])
@pytest.mark.parametrize(
    "forecaster", [TaylorForecaster(bounded=False), TaylorForecaster(order=3), HermiteForecaster()]
)
@pytest.mark.parametrize(
    "schedule, expected",
    [
        # The first cached step is planned alone, then all others.
        (ExplicitSchedule(steps=FULL), [1, 2, 4, 4]),
        (IntervalSchedule(interval=3, warmup=2), [1, 1, 2, 2, 2]),
        (EvenSchedule(interval=5, warmup=2), [1, 2, 4, 3]),
    ],
    ids=["explicit", "interval", "even"],
)
def test_sums_of_an_interval_are_those_of_its_steps(
    schedule, expected, forecaster, corrector, sums, monkeypatch, device
):
    model, config = make_dit(device), config_of(schedule, forecaster, corrector)
    with cache(model, config, **options(STEPS)):
        got = sample(model, STEPS)
    if device == "cpu":  # on a device the first cached steps may come before a plan is trusted
        assert sums == [(steps, 6) for steps in expected]
    assert sums
    torch.testing.assert_close(got, step_by_step(model, config, monkeypatch), rtol=1e-5, atol=1e-5)


def test_long_intervals_are_summed_in_pieces(sums, monkeypatch):
    model, config = make_dit(), config_of(ExplicitSchedule(steps=(0, 1)))
    with cache(model, config, **options(STEPS)):
        got = sample(model, STEPS)
    assert sums == [(1, 6), (8, 6), (3, 6)]  # of step 2, planned alone, then of steps 3 to 13
    torch.testing.assert_close(got, step_by_step(model, config, monkeypatch), rtol=1e-5, atol=1e-5)


@dataclass(frozen=True)
class ByData:
    """Decides at each step, by what the model is given."""

    def start(self, num_steps):
        return lambda step: step.index in FULL and step.kwargs["timestep"] is not None


def test_what_is_decided_at_its_step_is_summed_at_its_step(sums):
    model = make_dit()
    with cache(model, config_of(ByData()), **options(STEPS)):
        got = sample(model, STEPS)
        assert summary(model).full == 3
    assert sums == []
    with cache(model, config_of(ExplicitSchedule(steps=FULL)), **options(STEPS)):
        torch.testing.assert_close(got, sample(model, STEPS), rtol=1e-5, atol=1e-5)


def test_without_timesteps_nothing_is_summed_ahead(sums):
    model = make_dit()
    with cache(model, config_of(IntervalSchedule(interval=4)), cfg_rows=("cond", "uncond")):
        sample(model, STEPS)
    assert sums == []


def calls(model, labels, config):
    """Steps one by one, with labels of their own."""
    rows = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with cache(model, config, timesteps=TIMES), torch.no_grad():
        return [
            model(rows, timestep=torch.tensor([time, time]), class_labels=LABELS[which]).sample
            for time, which in zip(TIMES, labels, strict=True)
        ]


def test_sums_under_other_conditions_are_not_used(sums, monkeypatch):
    """Labels may change within an interval: what was summed had gates of the others."""
    model, labels = make_dit(), [0, 0, 0, 1, 1, 0, 0, 0, 0]
    config = config_of(ExplicitSchedule(steps=(0,)))
    got = calls(model, labels, config)
    # Where labels change, their first step is planned alone.
    assert sums == [(1, 6), (7, 6), (1, 6), (5, 6), (1, 6), (3, 6)]
    monkeypatch.setattr(ahead.Ahead, "use", lambda *args: None)
    for a, b in zip(got, calls(model, labels, config), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_branches_have_sums_of_their_own(sums, monkeypatch):
    model, config = make_dit(), config_of(ExplicitSchedule(steps=(0, 5)))
    rows = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))

    def branches():
        out = []
        with cache(model, config, timesteps=TIMES), torch.no_grad():
            for time in TIMES:
                for name, label in zip(("cond", "uncond"), LABELS, strict=True):
                    with model.cache_context(name):
                        given = torch.tensor([time, time])
                        out.append(model(rows, timestep=given, class_labels=label).sample)
            assert len(Cache.of(model).branches) == 2
        return out

    got = branches()
    assert sums == [(1, 6)] * 2 + [(3, 6)] * 4  # of steps 1, 2 to 4, and 6 to 8, in both
    monkeypatch.setattr(ahead.Ahead, "use", lambda *args: None)
    for a, b in zip(got, branches(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_runs_of_other_shapes_and_lengths_follow_each_other(monkeypatch):
    model, config = make_dit(), config_of(ExplicitSchedule(steps=FULL))
    with cache(model, config, **options(STEPS)):
        got = [sample(model, STEPS, samples=n) for n in (2, 3, 2)]
        with torch.inference_mode():
            inferred = sample(model, STEPS)
        after = sample(model, STEPS)
    expected = [step_by_step(model, config, monkeypatch, samples=n) for n in (2, 3, 2)]
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    for again in (got[2], inferred, after):
        assert torch.equal(again, got[0])


def test_memory_is_counted_and_given_back():
    model, config = make_dit(), config_of(ExplicitSchedule(steps=FULL))
    with cache(model, config, **options(STEPS)):
        sample(model, STEPS)
        branch = Cache.of(model).branch
        held = 4 * 4 * 64 * 32 * 4  # steps of the longest interval, rows, tokens, channels, bytes
        assert branch.storage.ahead.bytes() == held
        features = 3 * 2 * 2 * 4 * 64 * 32 * 4  # blocks, modules, orders, rows, tokens, channels
        assert summary(model).cache_bytes == held + features + branch.plan.bytes()
        # What they were given of a step is not theirs any more: of a view, the whole would be held.
        assert all(segment.sums is None for segment in Cache.of(model)._fitting.installed.segments)
        branch.restart()
        assert branch.storage.ahead.bytes() == 0
