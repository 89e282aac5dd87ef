"""Guidance that a pipeline switches on, or off and on again, in the middle of a run."""

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    EvenSchedule,
    LeanStorage,
    NoCorrection,
    cache,
    summary,
)
from clusca_ext.cache import Cache
from test_branches import draw, wan_pipeline

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
        assert (got - expected).norm() < 0.1 * expected.norm()
        assert torch.equal(draw(pipe, **guides_at(pipe, steps)), got)
