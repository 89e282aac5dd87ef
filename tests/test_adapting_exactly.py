"""Schedules that adapt on the families, against plain hooks: signals, and what is reused."""

import functools

import pytest
import torch

from clusca_ext import (
    AdaCacheSchedule,
    ClusCaConfig,
    FirstBlockSchedule,
    LeanStorage,
    NoCorrection,
    ReuseForecaster,
    SpeCaSchedule,
    TaylorForecaster,
    TeaCacheSchedule,
    cache,
)
from clusca_ext.enable import cache_of
from families_image import IMAGES
from families_video import VIDEOS
from family import Family, named
from plain_families import Reused, Verified, Watched, blocks_of, changes
from small_dit import make_dit
from test_families import Oracle, assert_close, run

DIT = Family(
    name="DiTTransformer2DModel",
    make=make_dit,
    inputs=lambda noise, t: {
        "hidden_states": noise,
        "timestep": torch.full((len(noise),), int(t)),
        "class_labels": torch.arange(len(noise)),
    },
    noise=(2, 1, 16, 16),
    tokens=64,
    modules=named("transformer_blocks", 3, "attn1", "ff"),
    mlps=named("transformer_blocks", 3, "ff"),
)
ALIKE = (  # with blocks as those of others
    "SD3Transformer2DModel-dual",
    "HunyuanVideoTransformer3DModel-latent_concat",
    "HunyuanVideo15Transformer3DModel",
    "HunyuanVideo15Transformer3DModel-image",
    "HunyuanVideoFramepackTransformer3DModel",
    "WanTransformer3DModel-image",
    "LTXVideoTransformer3DModel-per-token",
)
FAMILIES = [DIT, *(each for each in (*IMAGES, *VIDEOS) if each.name not in ALIKE)]
TIMES = [950.0, 900.0, 800.0, 720.0, 600.0]
REUSE = {"forecaster": ReuseForecaster(), "corrector": NoCorrection()}
RESIDUAL = {"storage": LeanStorage(basis="gated"), **REUSE}


class Told:
    """A schedule, and what it is told: of every sample, the change by step."""

    def __init__(self, schedule):
        self.schedule, self.signal, self.told = schedule, schedule.signal, []

    def start(self, num_steps):
        decide, own = self.schedule.start(num_steps), {}
        see = decide.see
        self.told.append(own)

        def told(step, change):
            own[step.index] = change
            return see(step, change)

        decide.see = told
        return decide


def cached(family, model, schedule, timesteps=None, **parts):
    """Outputs, what the steps were, and what the schedule was told."""
    config = ClusCaConfig(schedule=Told(schedule), **parts)
    with cache(model, config, timesteps=timesteps):
        outputs = run(family, model, times=TIMES)
        kinds = ["".join(k[0] for k in each.kinds) for each in cache_of(model).by_sample]
    assert kinds == kinds[:1] * family.noise[0]
    return outputs, kinds[0], config.schedule.told


@functools.cache
def untouched(family):
    """A model, its outputs, and what its blocks were given and added."""
    model = family.make()
    with Watched(family, model) as watched:
        return model, run(family, model, watched.at, TIMES), watched


def assert_same(told, expected):
    assert len(told) == len(expected)
    for ours, theirs in zip(told, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)


def assert_reused(family, got, kinds, computed):
    """Blocks at the front that are computed at every step, then one residual of all others."""
    model, plain, _ = untouched(family)
    full = [step for step, kind in enumerate(kinds) if kind == "f"]
    with Reused(family, model, full, computed) as reused:
        expected = run(family, model, reused.at, TIMES)
    assert_close(got, expected)
    for kind, output, without in zip(kinds, got, plain, strict=True):
        assert ((output - without).abs().max() < 1e-4) == (kind == "f")


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_teacache(family):
    model, _, watched = untouched(family)
    schedule = TeaCacheSchedule(threshold=1e9, max_interval=3)
    got, kinds, told = cached(family, model, schedule, **RESIDUAL)
    assert kinds == "fccfc"
    assert_same(told, changes(watched.modulated, [(1, 0), (2, 1), (4, 3)]))
    assert_reused(family, got, kinds, computed=0)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_first_block_cache(family):
    model, _, watched = untouched(family)
    schedule = FirstBlockSchedule(threshold=1e9, max_interval=3)
    got, kinds, told = cached(family, model, schedule, **RESIDUAL)
    assert kinds == "fccfc"
    assert_same(told, changes(watched.added[0], [(1, 0), (2, 0), (4, 3)]))
    assert_reused(family, got, kinds, computed=1)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_adacache(family):
    model, _, watched = untouched(family)
    schedule = AdaCacheSchedule(codebook=((1e9, 2),))
    _, kinds, told = cached(family, model, schedule, **REUSE)
    assert kinds == "ffcfc"
    middle = watched.added[len(watched.blocks) // 2]
    expected = changes(middle, [(1, 0), (3, 1)])
    assert_same(told, [{2: each[1], 4: each[3] / 2} for each in expected])


PLACES = [  # of the verified block: the last one, of double-stream ones too
    (family, place)
    for family in FAMILIES
    for place in (1, -1)
    if place == -1 or {name.split(".")[0] for name in blocks_of(family)} > {"transformer_blocks"}
]


@pytest.mark.parametrize("compared", ["stream", "output"])
@pytest.mark.parametrize("family, place", PLACES, ids=str)
def test_speca(family, place, compared):
    """The verified block is given the drafted stream, and the text of the last full step."""
    model = family.make()
    loose = {"threshold": 1e9, "floor": 1e9, "min_skips": 1, "max_skips": 1, "warmup": 1}
    schedule = SpeCaSchedule(block=place, error="relative_l1", compared=compared, **loose)
    parts = {"forecaster": TaylorForecaster(), "corrector": NoCorrection()}
    got, kinds, told = cached(family, model, schedule, TIMES, **parts)
    assert kinds == "fcfcf"
    full = (0, 2, 4)
    with Verified(family, model, full, place) as verified:
        oracle = Oracle(family, model, 1, full=full)
        if compared == "output":
            verified.compare_outputs()

        def at(step):
            oracle.at(step)
            verified.at(step)

        assert_close(got, run(family, model, at, TIMES))
    assert_same(told, [{2: each[1], 4: each[3]} for each in verified.errors])
    off = [
        abs(wrong[step] / right[step] - 1)
        for wrong, right in zip(verified.unexchanged, verified.errors, strict=True)
        for step in (1, 3)
    ]
    if compared == "stream":  # text reaches an MLP's output by far less
        assert (max(off) > 3e-5) == verified.hands_on_text
