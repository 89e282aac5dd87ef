"""PAB's default on every family: attention, and what is fused with it, at every second step."""

import json

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    MaskSchedule,
    NoCorrection,
    PyramidSchedule,
    ReuseForecaster,
    cache,
    method,
    summary,
)
from clusca_ext.enable import cache_of
from clusca_ext.schedule import Step
from families_image import IMAGES
from families_video import VIDEOS
from test_families import run

TIMES = [0.95, 0.85, 0.75, 0.65, 0.55, 0.45, 0.35]
PACES = {"attn": 2, "attn2": 2, "out": 2, "ip": 2, "cross": 6}  # attention's, by name


def config(schedule):
    return ClusCaConfig(schedule=schedule, forecaster=ReuseForecaster(), corrector=NoCorrection())


def as_mask(keys):
    """The same as marks of every module."""
    return MaskSchedule(
        modules={
            f"{name}-{block}": [int(step % PACES.get(name, 1) == 0) for step in range(len(TIMES))]
            for block, name in keys
        }
    )


@pytest.mark.parametrize("family", [*IMAGES, *VIDEOS], ids=str)
def test_attention_waits_and_mlps_do_not(family):
    model = family.make()
    pab = config(PyramidSchedule(between=(0, 1)))
    if family.name.startswith("CogVideoX"):  # its MLPs are of text, too
        with pytest.raises(ValueError, match="must not let 'mlp' be computed while others are"):
            cache(model, pab).__enter__()
        return
    with cache(model, pab, timesteps=TIMES):
        got = run(family, model, times=TIMES)
        keys = list(cache_of(model).modules)
        waits = any(name == "cross" for _, name in keys)  # to the last step
        assert summary(model).partial == (5 if waits else 3)
    with cache(model, config(as_mask(keys)), timesteps=TIMES):
        for ours, expected in zip(got, run(family, model, times=TIMES), strict=True):
            assert torch.equal(ours, expected)


def test_it_is_the_method_of_that_name():
    published = PyramidSchedule(between_timesteps=(100, 800))
    assert method("pab") == config(published)
    assert dict(published.ranges) == PACES
    assert "between_timesteps" not in config(PyramidSchedule()).to_dict()["schedule"]
    assert ClusCaConfig.from_dict(json.loads(json.dumps(method("pab").to_dict()))) == method("pab")


def shifted(by, steps=50):
    """Timesteps of a flow-matching sampler."""
    sigmas = [1 - step / steps for step in range(steps)]
    return torch.tensor([1000 * by * sigma / (1 + (by - 1) * sigma) for sigma in sigmas])


def computed_at(schedule, timesteps):
    decide, keys = schedule.start(len(timesteps)), frozenset({(0, "attn"), (0, "mlp")})
    steps = range(len(timesteps))
    decisions = [decide(Step(i, len(timesteps), modules=keys, timesteps=timesteps)) for i in steps]
    assert all(each is True or each == {(0, "mlp")} for each in decisions)
    return [step for step, each in enumerate(decisions) if each is True]


def test_timesteps_say_where_the_middle_is():
    """A shift moves it, where fractions of the run stay."""
    schedule = PyramidSchedule(ranges=(("attn", 2),), between_timesteps=(100, 800))
    even = [*range(11), *range(11, 45, 2), *range(45, 50)]
    assert computed_at(schedule, shifted(1)) == even
    assert computed_at(schedule, shifted(7)) == [*range(32), *range(32, 50, 2)]
    ascending = shifted(1).flip(0)
    assert computed_at(schedule, ascending) == [*range(5), *range(5, 39, 2), *range(39, 50)]
    by_fraction = PyramidSchedule(ranges=(("attn", 2),))
    assert computed_at(by_fraction, shifted(1)) == computed_at(by_fraction, shifted(7))
    for little in ([90.0, 60.0, 30.0], [1.0], [0], [1, 0]):  # noise
        assert computed_at(schedule, torch.tensor(little)) == list(range(len(little)))


@pytest.mark.parametrize(
    "timesteps, message",
    [
        (None, "between_timesteps must be None in a run whose timesteps are not known, got"),
        (torch.tensor([0.9, 0.5, 0.1]), r"units of the run's .* of 0.1 to 0.9, got \(100, 800\)"),
        (torch.tensor([900.0, 500.0, 100.0]), r"of 100 to 900, got \(0.1, 0.8\)"),
    ],
)
def test_it_must_know_timesteps(timesteps, message):
    bounds = (0.1, 0.8) if "0.8" in message else (100, 800)
    decide = PyramidSchedule(between_timesteps=bounds).start(3)
    with pytest.raises(ValueError, match=message):
        decide(Step(0, 3, modules=frozenset({(0, "attn")}), timesteps=timesteps))


@pytest.mark.parametrize("bounds", [(800, 100), (1, 2, 3), (-1, 5), 7])
def test_its_timesteps_ascend(bounds):
    with pytest.raises(ValueError, match="between_timesteps must be "):
        PyramidSchedule(between_timesteps=bounds)
