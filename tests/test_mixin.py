"""``pipe.transformer.enable_cache(ClusCaConfig(...))``, held to what diffusers asks of caches."""

import copy
import dataclasses
import subprocess
import sys
from pathlib import Path

import diffusers
import pytest
import torch
from diffusers import FirstBlockCacheConfig

import flux_pipelines
from clusca_ext import (
    ClusCaConfig,
    IntervalSchedule,
    ReuseForecaster,
    cache,
    disable_cache,
    enable_cache,
    summary,
)
from clusca_ext.cache import Cache
from test_branches import WAN, draw, wan_pipeline

CONFIG = ClusCaConfig(schedule=IntervalSchedule(interval=3, warmup=1))


@pytest.fixture
def pipe():
    return wan_pipeline()


def test_on_and_off(pipe):
    model = pipe.transformer
    assert not model.is_cache_enabled
    expected, before = draw(pipe), set(vars(model))
    assert model.enable_cache(CONFIG) is None
    assert model.is_cache_enabled and model._cache_config is CONFIG
    got = draw(pipe)
    assert got.isfinite().all() and not torch.equal(got, expected)
    assert (summary(model).branches, summary(model).full, summary(model).cached) == (2, 2, 4)
    model.disable_cache()
    assert not model.is_cache_enabled and set(vars(model)) == before
    assert torch.equal(draw(pipe), expected)


@pytest.mark.parametrize("kind", ["wan", "flux"])
@pytest.mark.parametrize("forecaster", [CONFIG.forecaster, ReuseForecaster()], ids=str)
def test_on_is_close_to_off(kind, forecaster):
    """Every other step cached: the picture, of deviation 1, is that of the model within 0.02.

    The tolerance tells: a picture whose later steps are all cached is three times as far off.
    """
    pipe, call = wan_pipeline(), draw
    if kind == "flux":
        pipe, call = flux_pipelines.make_pipeline(), flux_pipelines.draw
    expected = call(pipe, steps=10)
    assert 0.9 < expected.std() < 1.4

    def error(interval):
        schedule = IntervalSchedule(interval=interval, warmup=2)
        pipe.transformer.enable_cache(
            dataclasses.replace(CONFIG, schedule=schedule, forecaster=forecaster)
        )
        got = call(pipe, steps=10)
        cached = summary(pipe).cached
        pipe.transformer.disable_cache()
        assert torch.equal(call(pipe, steps=10), expected)
        return cached, (got - expected).abs().max()

    cached, close = error(2)
    assert cached >= 4 and 0 < close < 0.02
    cached, far = error(10)
    assert cached == 8 and far > 0.06


def on(pipe, way):
    pipe.transformer.enable_cache(CONFIG) if way == "diffusers" else enable_cache(pipe, CONFIG)


def off(pipe, way):
    pipe.transformer.disable_cache() if way == "diffusers" else disable_cache(pipe)


WAYS = pytest.mark.parametrize("way", ["diffusers", "ours"])


@WAYS
@pytest.mark.parametrize("other", ["diffusers", "ours"])
def test_either_way_off(pipe, way, other):
    before = set(vars(pipe.transformer))
    on(pipe, way)
    assert pipe.transformer.is_cache_enabled and pipe.transformer._cache_config is CONFIG
    off(pipe, other)
    assert not pipe.transformer.is_cache_enabled and Cache.of(pipe.transformer) is None
    assert set(vars(pipe.transformer)) == before
    on(pipe, other)


@WAYS
def test_twice_is_an_error(pipe, way):
    on(pipe, way)
    for again in ("diffusers", "ours"):
        with pytest.raises(ValueError, match="has a cache already"):
            on(pipe, again)
    with pytest.raises(ValueError, match="has a cache of clusca_ext: call disable_cache first"):
        pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    assert Cache.of(pipe.transformer) is not None


def test_the_record_is_gone_after_a_block(pipe):
    with cache(pipe, CONFIG):
        assert pipe.transformer.is_cache_enabled
    assert not pipe.transformer.is_cache_enabled
    with cache(pipe, CONFIG):
        disable_cache(pipe)
        enable_cache(pipe, CONFIG)
    assert pipe.transformer.is_cache_enabled


@WAYS
def test_a_copy_is_not_cached(pipe, way):
    on(pipe, way)
    copied = copy.deepcopy(pipe.transformer)
    copied.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    copied.disable_cache()
    copied = copy.deepcopy(pipe.transformer)
    copied.disable_cache()
    assert not copied.is_cache_enabled and pipe.transformer.is_cache_enabled
    enable_cache(copy.deepcopy(pipe.transformer), CONFIG)


ORDERS = {
    "ours-first": "import clusca_ext\n"
    'assert "diffusers" not in sys.modules and "torch._dynamo" not in sys.modules',
    "diffusers-first": "import diffusers",
    "looked-up": "import clusca_ext\nfrom importlib.util import find_spec\n"
    'find_spec("diffusers.models.cache_utils")',
}


@pytest.mark.parametrize("order", ORDERS)
def test_imports_in_any_order(order):
    """In a process of its own, the first configuration is made where it is given.

    Neither diffusers nor the compiler comes with the package.
    """
    body = f"""
import sys
sys.modules |= dict.fromkeys(["peft", "transformers", "bitsandbytes", "torchao", "scipy"])  # slow
{ORDERS[order]}
from families_video import wan
model = wan(False).make()
from clusca_ext import ClusCaConfig
model.enable_cache(ClusCaConfig())
assert model.is_cache_enabled
model.disable_cache()
assert not model.is_cache_enabled
assert not [each for each in sys.meta_path if type(each).__module__ == "clusca_ext.mixin"]
"""
    subprocess.run([sys.executable, "-c", body], cwd=Path(__file__).parent, check=True)


@pytest.mark.skipif(
    tuple(map(int, diffusers.__version__.split(".")[:2])) < (0, 41),
    reason="its own caches do not see the context of a pipeline that ran before",
)
def test_diffusers_own_caches_still_work(pipe):
    expected = draw(pipe)
    pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    assert draw(pipe).isfinite().all()
    with pytest.raises(ValueError, match="has a cache of diffusers: call its disable_cache"):
        enable_cache(pipe)
    pipe.transformer.disable_cache()
    assert torch.equal(draw(pipe), expected)
    with pytest.raises(ValueError, match="is not supported"):
        pipe.transformer.enable_cache({"interval": 3})


def test_every_call_of_the_pipeline_is_a_run(pipe):
    """Its end says so: a run broken off by fewer steps, or one that begins lower, is no other."""
    pipe.transformer.enable_cache(CONFIG)
    first = draw(pipe)
    assert draw(pipe, steps=2).isfinite().all()
    assert summary(pipe.transformer).steps == 2
    assert torch.equal(draw(pipe), first)


def test_contexts_are_apart(pipe):
    """The first pass of either context is the same, whatever the other did before."""
    model = pipe.transformer
    model.enable_cache(CONFIG)
    inputs = WAN.inputs(torch.randn(WAN.noise, generator=torch.Generator().manual_seed(0)), 900.0)
    with torch.no_grad():
        with model.cache_context("one"):
            one = model(**inputs, return_dict=False)[0]
        with model.cache_context("two"):
            two = model(**inputs, return_dict=False)[0]
    assert torch.equal(one, two)


def test_a_shape_that_changes_in_the_middle(pipe):
    model = pipe.transformer
    model.enable_cache(CONFIG)
    with torch.no_grad():
        for step, (frames, timestep) in enumerate([(3, 900.0), (3, 800.0), (2, 700.0), (2, 600.0)]):
            noise = torch.randn(2, 4, frames, 8, 8, generator=torch.Generator().manual_seed(step))
            out = model(**WAN.inputs(noise, timestep), return_dict=False)[0]
            assert out.shape == noise.shape and out.isfinite().all()
    assert (summary(model).full, summary(model).cached) == (1, 1)
