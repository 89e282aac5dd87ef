"""Schedules that decide by module or by data."""

import pytest
import torch

from bare_runs import call, kinds
from clusca_ext import ClusCaConfig, NoCorrection, TaylorForecaster, cache, enable_cache
from small_dit import options, sample


class Masked:
    """Full every fourth step; in between the MLPs of block 1 are computed."""

    def start(self, num_steps):
        return lambda step: step.index % 4 == 0 or frozenset({(1, "mlp")})


def test_a_mask_computes_its_modules_and_forecasts_the_others(model):
    config = ClusCaConfig(schedule=Masked(), corrector=NoCorrection())
    called = []
    for index, block in enumerate(model.transformer_blocks):
        block.attn1.register_forward_hook(lambda *_, i=index: called.append((i, "attn")))
        block.ff.register_forward_hook(lambda *_, i=index: called.append((i, "mlp")))
    enable_cache(model, config)
    assert kinds(model, [900, 800, 700, 600, 500]) == "fpppf"
    everything = [(i, name) for i in range(3) for name in ("attn", "mlp")]
    assert called == [*everything, *[(1, "mlp")] * 3, *everything]


def test_a_mask_of_everything_is_the_untouched_model(model):
    class All:
        def start(self, num_steps):
            modules = frozenset((i, name) for i in range(3) for name in ("attn", "mlp"))
            return lambda step: modules

    expected = sample(model)
    with cache(model, ClusCaConfig(schedule=All()), **options()):
        assert torch.equal(sample(model), expected)


def test_modules_that_a_mask_computes_equal_the_blocks_own(model):
    """A step that computes all but one module, whose forecast is its own last output."""

    class AllButOne:
        def start(self, num_steps):
            rest = frozenset({(0, "attn"), (0, "mlp"), (1, "attn"), (1, "mlp"), (2, "attn")})
            return lambda step: step.index == 0 or rest

    config = ClusCaConfig(
        schedule=AllButOne(), forecaster=TaylorForecaster(order=0), corrector=NoCorrection()
    )
    kept = []

    def reuse(module, args, output):
        kept.append(output)
        return kept[0]

    with cache(model, config):
        got = [call(model, t) for t in (900, 800, 700)]
    model.transformer_blocks[2].ff.register_forward_hook(reuse)
    expected = [call(model, t) for t in (900, 800, 700)]
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


class ByData:
    """Full while the input is bright; keeps what it saw for the next decision."""

    def start(self, num_steps):
        seen = []

        def decide(step):
            seen.append(step.args[0].mean().item())
            return step.index == 0 or seen[-1] > seen[-2]

        return decide


def test_a_schedule_may_look_at_data(model):
    enable_cache(model, ClusCaConfig(schedule=ByData()))
    means = [
        torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(t)).mean().item()
        for t in (900, 800, 700, 600, 500)
    ]
    rises = ["f", *("f" if b > a else "c" for a, b in zip(means, means[1:], strict=False))]
    assert kinds(model, [900, 800, 700, 600, 500]) == "".join(rises)
    assert len(set(rises)) == 2


def test_a_decision_that_is_none_is_refused(model):
    class Wrong:
        def start(self, num_steps):
            return lambda step: frozenset({(9, "mlp")})

    enable_cache(model, ClusCaConfig(schedule=Wrong()))
    with pytest.raises(ValueError, match="a schedule must decide True, False or a frozenset"):
        call(model, 900)
