"""Guidance that a pipeline switches on, or off and on again, in the middle of a run."""

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    EvenSchedule,
    LeanStorage,
    NoCorrection,
    TokenCorrector,
    cache,
    method,
    reset,
    summary,
)
from clusca_ext.cache import Cache
from test_branches import WAN, draw, wan_pipeline

STEPS = 10
EVEN = EvenSchedule(interval=3, warmup=1)
CONFIGS = {
    "per block": ClusCaConfig(schedule=EVEN, corrector=NoCorrection()),
    "clusters": ClusCaConfig(schedule=EVEN, corrector=ClusterCorrector(num_clusters=4)),
    "window": ClusCaConfig(
        schedule=EVEN, corrector=NoCorrection(), storage=LeanStorage(basis="window")
    ),
}


def guides_at(pipe, steps):
    """Guidance at these steps only."""

    def begin(step):
        pipe._guidance_scale = 3.0 if step in steps else 1.0

    def callback(pipe, step, timestep, values):
        begin(step + 1)
        return values

    return {"callback": callback, "guidance": 3.0 if 0 in steps else 1.0, "steps": STEPS}


def as_alone(steps):
    """How a run of as many steps is done."""
    decide = EVEN.start(steps)
    return ["full" if decide.is_full(step) else "cached" for step in range(steps)]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("steps", [range(4, 10), (0, *range(4, 10))], ids=["late", "paused"])
def test_a_branch_begins_its_run_where_it_is_called_again(config, steps):
    pipe = wan_pipeline()
    expected = draw(pipe, **guides_at(pipe, steps))
    with cache(pipe, config):
        got = draw(pipe, **guides_at(pipe, steps))
        branches = Cache.of(pipe.transformer).branches
        assert summary(pipe).steps == STEPS
        assert branches["cond"].kinds == as_alone(STEPS)
        assert branches["uncond"].kinds == as_alone(6)
        assert branches["uncond"].runs.num_steps == 6
        assert torch.equal(branches["uncond"].runs.timesteps, pipe.scheduler.timesteps[4:])
        timed = Cache.of(pipe.transformer).times.seconds().values()
        assert sum(map(len, timed)) == STEPS + len(steps)  # the run's, not only those since then
        assert (got - expected).norm() < 0.1 * expected.norm()
        assert torch.equal(draw(pipe, **guides_at(pipe, steps)), got)


def by_timesteps(timesteps):
    """PAB's steps: cross-attention every sixth, other attention every second, MLPs always."""
    inside = [step for step, t in enumerate(timesteps.tolist()) if 100 < t < 800]
    return [
        "full" if step not in inside or step == 0 or (step - inside[0]) % 6 == 0 else "partial"
        for step in range(len(timesteps))
    ]


def test_timesteps_of_a_late_branch_are_those_of_its_steps():
    pipe = wan_pipeline()
    with cache(pipe, method("pab")):
        draw(pipe, **guides_at(pipe, range(4, 10)))
        branches, timesteps = Cache.of(pipe.transformer).branches, pipe.scheduler.timesteps
        kinds = {name: branches[name].kinds for name in ("cond", "uncond")}
    assert kinds == {"cond": by_timesteps(timesteps), "uncond": by_timesteps(timesteps[4:])}
    assert all({"full", "partial"} == set(each) for each in kinds.values())


def test_a_branch_may_have_a_pace_of_its_own():
    """Every second step: seen when it was called so twice, and cached from then on."""
    pipe = wan_pipeline()
    with cache(pipe, CONFIGS["window"]):
        draw(pipe, **guides_at(pipe, range(0, STEPS, 2)))
        branch = Cache.of(pipe.transformer).branches["uncond"]
        assert torch.equal(branch.runs.timesteps, pipe.scheduler.timesteps[4::2])
        assert branch.kinds == as_alone(3)


@pytest.mark.parametrize("corrector", [TokenCorrector(every=2), ClusterCorrector(num_clusters=4)])
def test_steps_that_are_counted_otherwise_choose_by_themselves(corrector):
    """A late branch's step 1 is no step 1 of the sample's clusters."""
    pipe = wan_pipeline()
    with cache(pipe, ClusCaConfig(schedule=EVEN, corrector=corrector)):
        draw(pipe, **guides_at(pipe, range(4, STEPS)))
        branches = Cache.of(pipe.transformer).branches
        assert branches["uncond"].clusters.num_computed > 0  # it has looked at its own tokens
        assert branches["uncond"].clusters.last_full == 0 < branches["cond"].clusters.last_full
        assert Cache.of(pipe.transformer).clusters is branches["uncond"].clusters
        draw(pipe, steps=STEPS)
        assert Cache.of(pipe.transformer).clusters is branches["cond"].clusters


def test_somebody_elses_call_after_a_pipelines_run():
    """Its scheduler stands behind its last step: that is no step of theirs."""
    pipe = wan_pipeline()
    with cache(pipe, CONFIGS["per block"]):
        draw(pipe, steps=STEPS)
        reset(pipe)
        with torch.no_grad(), pipe.transformer.cache_context("cond"):
            pipe.transformer(**WAN.inputs(torch.randn(WAN.noise), 900.0), return_dict=False)
        assert (summary(pipe).steps, summary(pipe).num_steps) == (1, STEPS)
