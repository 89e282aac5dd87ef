"""A cached model's forward: ours stands before it, and is gone afterwards."""

import copy
import inspect

import torch
from accelerate.hooks import ModelHook as AccelerateHook
from accelerate.hooks import add_hook_to_module, remove_hook_from_module

from clusca_ext import cache, disable_cache, enable_cache, summary
from clusca_ext.graphs.forward import Forward
from small_dit import make_dit, options, sample
from test_graph_reasons import CONFIG, STEPS


def test_forward_is_restored(emulation):
    model = make_dit()
    plain = model.forward
    enable_cache(model, CONFIG)
    assert isinstance(vars(model)["forward"], Forward)
    assert inspect.signature(model.forward) == inspect.signature(plain)
    disable_cache(model)
    assert "forward" not in vars(model) and model.forward == plain
    own = vars(model)["forward"] = lambda *args, **kwargs: plain(*args, **kwargs)
    enable_cache(model, CONFIG)
    disable_cache(model)
    assert vars(model)["forward"] is own


def test_forward_is_restored_beneath_what_wraps_it(emulation):
    model = make_dit()
    plain = model.forward
    enable_cache(model, CONFIG)
    add_hook_to_module(model, AccelerateHook())
    disable_cache(model)
    remove_hook_from_module(model)
    assert model.forward == plain


def test_a_forward_that_was_replaced(emulation):
    model = make_dit()
    plain = model.forward
    with cache(model, CONFIG, **options(STEPS)):
        model.forward = plain
        sample(model, STEPS)
        assert summary(model).cached_step == "eager: the model's forward was replaced"
    assert model.forward == plain


def test_a_wrapper_that_keeps_ours_passes_through(emulation):
    model = make_dit()
    expected = sample(model, STEPS)
    enable_cache(model, CONFIG)
    ours = model.forward
    model.forward = lambda *args, **kwargs: ours(*args, **kwargs)
    disable_cache(model)
    assert torch.equal(sample(model, STEPS), expected)


def test_a_copy_has_a_forward_of_its_own(emulation):
    model = make_dit()
    with cache(model, CONFIG, **options(STEPS)):
        sample(model, STEPS)
        copied = copy.deepcopy(model)
    assert copied.forward.__self__ is copied
    with torch.no_grad():
        for weight in copied.parameters():
            weight.mul_(1.1)
    assert not torch.equal(sample(copied, STEPS), sample(model, STEPS))
