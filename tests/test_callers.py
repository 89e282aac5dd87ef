"""Branches of guidance that no cache context names: told by what the model is given."""

from types import SimpleNamespace

import pytest
import torch

from bare_runs import BARE
from clusca_ext import cache, enable_cache, reset, summary
from clusca_ext.cache import Cache
from clusca_ext.runs.conditions import MAX_BRANCHES, ByConditions
from small_dit import make_dit
from test_pipeline import make_pipeline

TIMES = (900, 700, 500, 300)
COND, UNCOND = [1, 2], [10, 10]


class Sampler:
    """Calls a model once a branch and step, with the same label tensors or new ones each time."""

    def __init__(self, model, fresh):
        self.model, self.fresh = model, fresh
        self.kept = {}

    def __call__(self, timestep, labels, seed=0):
        rows = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
        given = self.kept.setdefault(tuple(labels), torch.tensor(labels))
        given = given.clone() if self.fresh else given
        with torch.no_grad():
            time = torch.full((2,), timestep)
            return self.model(rows, timestep=time, class_labels=given).sample

    def run(self, *branches, times=TIMES):
        return [[self(time, labels) for labels in branches] for time in times]


def alone(labels, times=TIMES):
    """What a branch is when it is cached by itself, with clusters of its own."""
    model = make_dit()
    with cache(model, BARE):
        return [out for (out,) in Sampler(model, fresh=False).run(labels, times=times)]


@pytest.fixture(params=[False, True], ids=["same-tensors", "new-tensors"])
def sampler(request, model):
    return Sampler(model, request.param)


@pytest.mark.parametrize("timesteps", [None, TIMES], ids=["bare", "known"])
def test_calls_in_turns(sampler, timesteps):
    enable_cache(sampler.model, BARE, timesteps=timesteps)
    expected = alone(COND)
    first = sampler.run(COND, UNCOND)
    done = summary(sampler.model)
    assert (done.branches, done.steps, done.full, done.cached) == (2, 4, 2, 2)
    for out, e in zip(first, expected, strict=True):  # where timesteps are known, by other sums
        assert torch.equal(out[0], e) or timesteps is not None
        torch.testing.assert_close(out[0], e, rtol=1e-5, atol=1e-5)
    again = sampler.run(COND, UNCOND)
    for one, two in zip(first, again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert list(Cache.of(sampler.model).branches) == ["call 1", "call 2"]


def test_order_may_change_after_the_first_step(sampler):
    enable_cache(sampler.model, BARE)
    expected = sampler.run(COND, UNCOND)
    reset(sampler.model)
    sampler.run(COND, UNCOND, times=TIMES[:1])
    for time, (cond, uncond) in zip(TIMES[1:], expected[1:], strict=True):
        swapped = sampler.run(UNCOND, COND, times=[time])[0]
        # Clusters are the first branch's, whoever calls first in a step.
        assert torch.equal(swapped[1], cond) and torch.equal(swapped[0], uncond)


@pytest.mark.parametrize("kept", [[10, 10], [3, 3]], ids=["same-negative", "other-negative"])
def test_another_prompt_begins_a_run(sampler, kept):
    enable_cache(sampler.model, BARE)
    sampler.run(COND, UNCOND)
    got = sampler.run([4, 5], kept)
    assert summary(sampler.model).steps == 4
    expected = alone([4, 5])
    assert all(torch.equal(out[0], e) for out, e in zip(got, expected, strict=True))


def test_another_negative_prompt(sampler):
    """The same prompt begins a run, which nobody could see; who has not called yet comes next."""
    enable_cache(sampler.model, BARE)
    sampler.run(COND, UNCOND)
    got = sampler.run(COND, [4, 5])
    assert (summary(sampler.model).branches, summary(sampler.model).steps) == (2, 4)
    with cache(make_dit(), BARE) as fresh:
        expected = Sampler(fresh, fresh=True).run(COND, [4, 5])
    for one, two in zip(got, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_known_timesteps_may_ascend(sampler):
    times = (100, 300, 500, 700)
    enable_cache(sampler.model, BARE, timesteps=times)
    for labels in (COND, [4, 5]):
        sampler.run(labels, UNCOND, times=times)
        assert (summary(sampler.model).branches, summary(sampler.model).steps) == (2, 4)


def test_conditions_that_change_with_every_step(model):
    """One branch: as under a ControlNet, whose residuals are another step's."""
    enable_cache(model, BARE)
    sampler = Sampler(model, fresh=True)
    for step, time in enumerate(TIMES):
        sampler(time, [step, step])
    done = summary(model)
    assert (done.branches, done.steps, done.cached) == (1, 4, 2)


def test_what_tells_branches_apart_is_enough():
    """Prompts tell; residuals are another call's each, and ids are the same in both branches."""
    description = SimpleNamespace(
        latents=lambda args, kwargs: args[0],
        timestep=lambda args, kwargs: args[1],
        by_block=(),
    )
    teller = ByConditions(description)
    prompts, ids = {"call 1": torch.ones(3), "call 2": torch.zeros(3)}, torch.arange(3)
    for time in TIMES:
        for name, prompt in prompts.items():
            given = {"prompt": prompt.clone(), "ids": ids.clone(), "residuals": [torch.rand(3)]}
            assert teller.name((torch.rand(3), torch.tensor([time])), given) == name


def test_second_order_calls_are_of_one_branch(sampler):
    enable_cache(sampler.model, BARE)
    sampler.run(COND, times=(900, 700, 700, 500, 500))
    assert (summary(sampler.model).branches, summary(sampler.model).steps) == (1, 5)


def test_runs_of_one_step_are_no_branches_for_long(sampler):
    enable_cache(sampler.model, BARE)
    for label in range(3 * MAX_BRANCHES):
        sampler(999, [label, label])
        assert len(Cache.of(sampler.model).branches) <= MAX_BRANCHES


def test_conditions_of_no_branch(sampler):
    enable_cache(sampler.model, BARE)
    sampler.run(COND, UNCOND, times=TIMES[:2])
    with pytest.raises(ValueError, match=r"conditions of a call must be those .* branch=function"):
        sampler(500, [4, 5])
    sampler.run(COND, UNCOND)  # the cache goes on
    with pytest.raises(ValueError, match=r"conditions of a call must be those .* cfg_rows="):
        sampler(TIMES[-1], [4, 5])


def test_branch_says(model):
    def branch(rows, timestep, class_labels):
        return "uncond" if int(class_labels[0]) == 10 else "cond"

    enable_cache(model, BARE, branch=branch)
    sampler = Sampler(model, fresh=True)
    for step, time in enumerate(TIMES):  # conditions change with every step
        sampler(time, UNCOND), sampler(time, [step, step])
    held = Cache.of(model)
    assert list(held.branches) == ["uncond", "cond"] and held.leader is held.branches["cond"]
    assert summary(model).steps == 4


def test_branch_must_name(model):
    enable_cache(model, BARE, branch=lambda *args, **kwargs: None)
    with pytest.raises(ValueError, match="branch must return the name of a branch, got None"):
        Sampler(model, fresh=False)(900, COND)


def test_a_pipeline_whose_scheduler_does_not_count():
    pipe = make_pipeline()
    enable_cache(pipe, BARE)
    pipe.scheduler.set_timesteps(4)
    sampler = Sampler(pipe.transformer, fresh=False)
    sampler.run([1, 2], [1000, 1000], times=pipe.scheduler.timesteps.tolist())
    assert (summary(pipe).branches, summary(pipe).steps, summary(pipe).cached) == (2, 4, 2)


@pytest.mark.parametrize("timesteps", [None, TIMES], ids=["bare", "known"])
def test_two_branches_of_one_name(model, timesteps):
    """A second-order step repeats its timestep, but not under other conditions."""
    enable_cache(model, BARE, timesteps=timesteps, branch=lambda *args, **kwargs: "cond")
    sampler = Sampler(model, fresh=False)
    sampler(900, COND), sampler(700, COND)
    with pytest.raises(ValueError, match="'class_labels' must be the same in both calls at"):
        sampler(700, UNCOND)
    sampler.run(COND)  # the cache goes on
