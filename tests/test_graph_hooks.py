"""Hooks in and around a cached model: what a graph would leave out keeps its steps eager."""

import pytest
import torch
from accelerate.hooks import ModelHook as AccelerateHook
from accelerate.hooks import add_hook_to_module
from diffusers.hooks import HookRegistry, ModelHook
from torch import nn

from clusca_ext import cache, summary
from small_dit import make_dit, options, sample
from test_graph_reasons import CONFIG, STEPS, eager, reason


def test_hooks_within_the_model(emulation):
    model, seen = make_dit(), []
    handle = model.transformer_blocks[1].ff.register_forward_hook(lambda *_: seen.append(1))
    says = "a forward hook on 'transformer_blocks.1.ff' would not run"
    assert reason(model) == says
    assert len(seen) == 2 * STEPS
    handle.remove()
    everywhere = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert reason(model) == "a forward hook on all modules would not run"
    everywhere.remove()
    outside = model.register_forward_hook(lambda *_: seen.append(1))  # it runs around the graph
    with cache(model, CONFIG, **options(STEPS)):
        sample(model, STEPS)
        assert summary(model).cached_step == "one CUDA graph"
        assert len(seen) == 3 * STEPS
        outside.remove()

        def late(step):
            if step == 2:
                model.transformer_blocks[1].ff.register_forward_hook(lambda *_: seen.append(1))

        sample(model, STEPS, on_step=late)
        assert len(seen) == 4 * STEPS - 3
        assert summary(model).cached_step == f"eager: {says}"


def test_offloaded_weights(emulation):
    model = make_dit()
    add_hook_to_module(model.transformer_blocks[1], AccelerateHook())
    assert reason(model) == "weights may be offloaded: they come when their module is called"


@pytest.mark.parametrize(
    "name, says",
    [
        ("group_offloading", "weights may be offloaded: they come when their module is called"),
        ("casting", "hooks of diffusers, as 'casting' on 'transformer_blocks.1', would not run"),
    ],
)
def test_hooks_of_diffusers(name, says, emulation):
    model = make_dit()
    registry = HookRegistry.check_if_exists_or_initialize(model.transformer_blocks[1])
    registry.register_hook(ModelHook(), name)
    got = reason(model)
    assert got == says


def test_hooks_of_modules_that_cached_steps_do_not_call(emulation):
    """Attention is forecast: its hooks run as often as without graphs."""
    model, seen = make_dit(), []
    expected = eager(model)
    handle = model.transformer_blocks[1].attn1.to_q.register_forward_hook(lambda *_: seen.append(1))
    with cache(model, CONFIG, **options(STEPS)):
        for run in (1, 2):
            assert torch.equal(sample(model, STEPS), expected)
            assert len(seen) == 2 * run
            assert summary(model).cached_step == "one CUDA graph"
            assert emulation.captures == 1
        assert not model.transformer_blocks[1].attn1.to_q._forward_pre_hooks
    handle.remove()


def test_a_step_that_is_broken_off_is_not_watched_any_more(emulation):
    model = make_dit()
    model.transformer_blocks[1].attn1.register_forward_hook(lambda *_: None)

    def fail(module, args):
        if not model.training:
            raise RuntimeError("broken off")

    with cache(model, CONFIG, **options(STEPS)):
        late = []

        def on_step(step):
            if not late:
                late.append(model.norm_out.register_forward_pre_hook(fail))

        with pytest.raises(RuntimeError, match="broken off"):
            sample(model, STEPS, on_step=on_step)
        assert not model.transformer_blocks[1].attn1._forward_pre_hooks
        late[0].remove()
        sample(model, STEPS)
        assert summary(model).cached_step == "one CUDA graph"
