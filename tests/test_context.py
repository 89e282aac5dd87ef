"""Cache contexts that say the step of a call, as diffusers' Wan pipeline's do."""

import diffusers.hooks.hooks
import pytest
import torch

from bare_runs import BARE, call
from clusca_ext import ClusCaConfig, EvenSchedule, NoCorrection, enable_cache, summary
from clusca_ext.cache import Cache
from test_branches import draw, wan_pipeline

EVEN = ClusCaConfig(schedule=EvenSchedule(interval=3, warmup=1), corrector=NoCorrection())


@pytest.fixture
def unread(monkeypatch):
    """No timestep is read on the host."""

    def refuse(timestep):
        raise AssertionError(f"read {timestep}")

    for module in ("course", "conditions"):
        monkeypatch.setattr(f"clusca_ext.runs.{module}.highest", refuse)


def step(model, index, steps, name="cond"):
    with model.cache_context(name, step_index=index, num_inference_steps=steps):
        call(model, 500)
    return summary(model).steps, summary(model).num_steps


def test_runs_are_as_the_context_says(model, unread):
    enable_cache(model, EVEN)
    for _ in range(2):
        assert [step(model, index, 4) for index in range(4)] == [(n, 4) for n in (1, 2, 3, 4)]
        assert "cache context" in summary(model).run_known_by
        assert Cache.of(model).branch.kinds[-1] == "full"
    assert step(model, 0, 4) == (1, 4)
    assert step(model, 1, 4) == (2, 4)
    assert step(model, 0, 4) == (1, 4)  # the run before was broken off
    assert step(model, 1, 9) == (1, 8)  # one of another length


def test_a_second_model_begins_later(model, unread):
    """As the second expert of Wan 2.2."""
    enable_cache(model, EVEN)
    for _ in range(2):
        assert [step(model, index, 9) for index in (6, 7, 8)] == [(n, 3) for n in (1, 2, 3)]


def test_a_length_may_be_left_out(model, unread):
    enable_cache(model, BARE)
    for _ in range(2):
        assert [step(model, index, None) for index in range(3)] == [(n, None) for n in (1, 2, 3)]


def test_with_and_without(model):
    """Where no context says the step, the timestep does."""
    enable_cache(model, BARE)
    step(model, 0, 2, "call 1"), step(model, 1, 2, "call 1")
    for timestep in (900, 800, 700):
        call(model, timestep)
    assert (summary(model).steps, summary(model).num_steps) == (3, None)
    assert "timestep" in summary(model).run_known_by
    assert step(model, 0, 2, "call 1") == (1, 2)


@pytest.mark.skipif(
    not hasattr(diffusers.hooks.hooks, "CacheContext"), reason="contexts are names only"
)
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_wan_pipeline(guidance, request):
    pipe = wan_pipeline()
    enable_cache(pipe, EVEN)
    expected = draw(pipe, guidance)
    counts = summary(pipe).full, summary(pipe).num_steps
    pipe.transformer.disable_cache()
    request.getfixturevalue("unread")
    pipe.transformer.enable_cache(EVEN)
    for steps in (6, 4, 6):
        got = draw(pipe, guidance, steps=steps)
        assert summary(pipe).num_steps == steps
        assert Cache.of(pipe.transformer).branch.kinds[-1] == "full"
    assert (summary(pipe).full, summary(pipe).num_steps) == counts
    # A pipeline's timesteps are known: there an interval's forecasts are summed at once.
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
