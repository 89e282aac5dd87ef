"""Where runs begin: repeated, ascending and broken-off timesteps."""

import pytest
import torch
from diffusers import DDIMScheduler, DiTPipeline, FlowMatchEulerDiscreteScheduler

from bare_runs import BARE, kinds
from clusca_ext import ClusCaConfig, IntervalSchedule, enable_cache, reset, summary
from small_dit import make_dit, scheduler_of
from test_pipeline import draw, make_pipeline
from test_planned_pipelines import CASES, make


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
    """As in flow matching from 0 to 1: the third call says so, the first two are no less."""
    enable_cache(model, BARE)
    assert kinds(model, [0, 20, 40, 60, 80]) == "ffccf"
    assert kinds(model, [0, 20, 20, 40]) == "fccf"
    assert kinds(model, [0, 20]) == "fc"
    assert kinds(model, [900, 800, 700]) == "cfc"  # it turns again
    assert kinds(model, [900, 800, 700]) == "fcc"


def test_ascending_branches(model):
    enable_cache(model, BARE)
    for prompts in ([1, 2], [10, 10]), ([1, 2], [10, 10]), ([3, 4], [5, 5]):
        for timestep in (0, 20, 40, 60):
            for labels in prompts:
                rows_of(model, timestep, labels)
    assert (summary(model).branches, summary(model).steps, summary(model).cached) == (2, 4, 2)


def test_mochis_own_scheduler():
    """It inverts sigmas; the diffusers way sees no scheduler."""
    kind, family, inputs = CASES["mochi"]
    pipe = make(kind, family)
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(invert_sigmas=True)
    config = ClusCaConfig(schedule=IntervalSchedule(interval=3, warmup=1))
    pipe.transformer.enable_cache(config)
    more = {"num_inference_steps": 6, "output_type": "latent", "return_dict": False}
    counts = []
    for _ in range(2):
        assert pipe(**inputs, **more)[0].isfinite().all()
        counts.append((summary(pipe).full, summary(pipe).cached))
    assert counts == [(2, 3), (2, 4)]  # the first call was a run by itself


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
