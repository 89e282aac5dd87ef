"""Where runs begin: repeated, ascending and broken-off timesteps."""

import pytest
import torch
from diffusers import DDIMScheduler, DiTPipeline

from bare_runs import BARE, call, kinds
from clusca_ext import enable_cache, reset, summary
from small_dit import make_dit, scheduler_of
from test_pipeline import draw, make_pipeline


def rows_of(model, timestep, labels, seed=0):
    rows = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return model(
            rows, timestep=torch.full((2,), timestep), class_labels=torch.tensor(labels)
        ).sample


@pytest.mark.parametrize("timesteps", [None, [900, 800, 800, 700, 700]])
def test_second_order_steps(model, timesteps):
    enable_cache(model, BARE, timesteps=timesteps)
    assert kinds(model, [900, 800, 800, 700, 700]) == "fccfc"
    assert kinds(model, [900, 800, 800]) == "fcc"


def test_runs_of_one_step(model):
    fresh = make_dit()
    enable_cache(model, BARE)
    for seed in range(6):
        expected = rows_of(fresh, 999, [seed, 1], seed)
        assert torch.equal(rows_of(model, 999, [seed, 1], seed), expected)
    assert kinds(model, [999, 500, 999, 999, 500, 500, 500]) == "fcffccf"


def test_known_runs_of_one_step(model):
    enable_cache(model, BARE, timesteps=[999])
    assert [rows_of(model, 999, [seed, 1]).isfinite().all() for seed in range(3)]
    assert summary(model).steps == 1


def test_ascending_timesteps(model):
    """As in flow matching from 0 to 1."""
    enable_cache(model, BARE)
    assert kinds(model, [0, 20]) == "ff"
    with pytest.raises(ValueError, match=r"timestep must descend .* timesteps=\.\.\."):
        call(model, 40)
    assert kinds(model, [900]) == "f"


@pytest.mark.parametrize("as_tensor", [False, True])
def test_known_timesteps_may_ascend(model, as_tensor):
    timesteps = [0, 200, 400, 600]
    enable_cache(model, BARE, timesteps=torch.tensor(timesteps) if as_tensor else timesteps)
    assert kinds(model, timesteps) == "fccf"
    assert kinds(model, [0, 200]) == "fc"
    assert kinds(model, [0]) == "f"  # the run before was broken off
    assert kinds(model, timesteps) == "fccf"


def test_known_timesteps_in_no_order(model):
    timesteps = [900, 700, 800, 600]
    enable_cache(model, BARE, timesteps=timesteps)
    assert kinds(model, timesteps) == "fccf"
    reset(model)
    assert kinds(model, timesteps) == "fccf"


def test_a_pipelines_transformer_in_a_loop_of_ones_own():
    pipe = make_pipeline()
    enable_cache(pipe, BARE)
    for timesteps in (scheduler_of(8).timesteps, scheduler_of(3).timesteps):
        for timestep in timesteps.tolist():
            rows_of(pipe.transformer, timestep, [1, 2])
        assert summary(pipe).steps == len(timesteps)


def test_a_transformer_shared_by_pipelines():
    pipe = make_pipeline()
    other = DiTPipeline(transformer=pipe.transformer, vae=pipe.vae, scheduler=DDIMScheduler())
    other.set_progress_bar_config(disable=True)
    enable_cache(pipe, BARE)
    expected = draw(pipe)
    assert torch.equal(draw(other), expected)
    assert summary(pipe).steps == 8
    assert torch.equal(draw(other), expected)
    assert torch.equal(draw(pipe), expected)
