"""PAB's default on every family: attention, and what is fused with it, at every second step."""

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
    assert method("pab") == config(PyramidSchedule())
    assert dict(PyramidSchedule().ranges) == PACES
