"""Weights that come with a block's forward and leave after it: on cached steps too."""

import pytest
import torch
from accelerate import cpu_offload
from accelerate.hooks import remove_hook_from_submodules
from diffusers.hooks import HookRegistry, ModelHook

from clusca_ext import ClusCaConfig, ClusterCorrector, ExplicitSchedule, cache, summary
from clusca_ext.adapters import describe
from families_image import IMAGES
from families_video import VIDEOS
from test_families import TIMES, run

CONFIG = ClusCaConfig(
    schedule=ExplicitSchedule(steps=(0, 2, 5)), corrector=ClusterCorrector(num_clusters=8)
)


@pytest.fixture(params=IMAGES + VIDEOS, ids=str)
def family(request):
    return request.param


def cached(family, model):
    with cache(model, CONFIG, timesteps=TIMES):
        out = run(family, model)
        assert (summary(model).full, summary(model).cached) == (3, 5)
    return out


def assert_same(got, expected):
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("before", [True, False], ids=["offloaded-first", "cached-first"])
def test_sequential_offload(family, before):
    """accelerate's, as ``enable_sequential_cpu_offload``: between calls weights are on meta."""
    model = family.make()
    expected, plain = cached(family, model), run(family, model)

    def offload():
        cpu_offload(model, execution_device=torch.device("cpu"), offload_buffers=False)
        assert all(parameter.is_meta for parameter in model.parameters())

    if before:
        offload()
        assert_same(cached(family, model), expected)
    else:
        with cache(model, CONFIG, timesteps=TIMES):
            assert_same(run(family, model), expected)
            offload()
            assert_same(run(family, model), expected)
    assert_same(run(family, model), plain)
    remove_hook_from_submodules(model)
    assert_same(cached(family, model), expected)


class Loading(ModelHook):
    """Group offload's form: what a block holds is there during its forward alone."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def pre_forward(self, module, *args, **kwargs):
        self.inside.append(module)
        return args, kwargs

    def post_forward(self, module, output):
        assert self.inside.pop() is module
        return output


@pytest.mark.parametrize("before", [True, False], ids=["hooked-first", "cached-first"])
def test_hooks_of_diffusers_run_around_cached_blocks(family, before):
    model, inside, seen = family.make(), [], []
    blocks = [block.block for block in describe(model).blocks]
    expected, plain = cached(family, model), run(family, model)
    mlps = [model.get_submodule(name) for name in family.mlps]
    for mlp in mlps:
        mlp.register_forward_pre_hook(lambda *_: seen.append(len(inside)))

    def hook():
        for block in blocks:
            registry = HookRegistry.check_if_exists_or_initialize(block)
            registry.register_hook(Loading(inside), "loading")

    if before:
        hook()
    with cache(model, CONFIG, timesteps=TIMES):
        if not before:
            hook()
        assert_same(run(family, model), expected)
    # Mochi's is a norm, which capturing a feature calls once more on each of 3 full steps.
    assert seen == [1] * (len(TIMES) + 3 * family.gated) * len(mlps)
    assert_same(run(family, model), plain)
    for block in blocks:
        block._diffusers_hook.remove_hook("loading")
    assert_same(run(family, model), plain)
    assert_same(cached(family, model), expected)
