"""What must hold exactly, and what within rounding, whatever the model."""

import dataclasses

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    EvenSchedule,
    ExplicitSchedule,
    IntervalSchedule,
    NoCorrection,
    ReuseForecaster,
    TaylorForecaster,
    cache,
    disable_cache,
    enable_cache,
)
from small_dit import make_dit, options, sample

PAPER = ClusCaConfig.paper("dit")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("config", [ClusCaConfig(), PAPER], ids=["default", "paper"])
def test_interval_1_is_the_untouched_model(config, dtype, device):
    model = make_dit(device, dtype=dtype)
    expected = sample(model)
    every = dataclasses.replace(config, schedule=IntervalSchedule(interval=1))
    with cache(model, every, **options()):
        assert torch.equal(sample(model), expected)


def test_full_steps_are_the_untouched_model(device):
    """From the same input: a run is compared up to its first cached step."""
    model = make_dit(device)
    steps = [[], []]
    model.register_forward_hook(lambda module, args, out: steps[-1].append(out.sample))
    sample(model)
    steps.append([])
    with cache(model, PAPER, **options()):  # full: 0, 1, 5, 9
        sample(model)
    untouched, cached = steps[1], steps[2]
    assert torch.equal(cached[0], untouched[0]) and torch.equal(cached[1], untouched[1])
    assert not torch.equal(cached[2], untouched[2])


def test_disable_cache_restores_the_model(device):
    model = make_dit(device)
    expected = sample(model)
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    enable_cache(model, **options())
    assert not torch.equal(sample(model), expected)
    disable_cache(model)
    assert torch.equal(sample(model), expected)
    after = {name: dict(vars(module)) for name, module in model.named_modules()}
    assert before == after


@pytest.mark.parametrize("config", [ClusCaConfig(), PAPER], ids=["default", "paper"])
def test_the_second_run_equals_the_first(config, device):
    model = make_dit(device)
    with cache(model, config, **options()):
        first = sample(model)
        torch.manual_seed(1234)  # torch's own generators must not matter
        assert torch.equal(sample(model), first)
    with cache(model, config, **options()):
        assert torch.equal(sample(model), first)


def test_order_0_without_correction_is_plain_reuse(device):
    model = make_dit(device)
    schedule = IntervalSchedule(interval=3, warmup=1)
    config = ClusCaConfig(schedule=schedule, forecaster=ReuseForecaster(), corrector=NoCorrection())
    kept, step = {}, [0]

    def reuse(module, args, output):
        """Hook: every third step a module's output is kept, in between the kept one returned."""
        if step[0] % 3 == 0:
            kept[module] = output
        return kept[module]

    def next_step(_):
        step[0] += 1

    with cache(model, config, **options()):
        got = sample(model)
    for block in model.transformer_blocks:
        block.attn1.register_forward_hook(reuse)
        block.ff.register_forward_hook(reuse)
    expected = sample(model, on_step=next_step)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", ["delta", "value"])
def test_every_token_its_own_cluster_is_the_mlp_itself(rule, device):
    """With gamma 1 and K = N a cached step's MLP is computed, on the forecast attention."""
    model = make_dit(device)
    corrector = ClusterCorrector(num_clusters=64, gamma=1.0, rule=rule, max_iters=0)
    config = ClusCaConfig(
        schedule=ExplicitSchedule(steps=(0, 4)), forecaster=ReuseForecaster(), corrector=corrector
    )
    kept, step = {}, [0]

    def reuse(module, args, output):
        if step[0] in (0, 4):
            kept[module] = output
        return kept[module]

    def next_step(_):
        step[0] += 1

    with cache(model, config, **options()):
        got = sample(model)
    for block in model.transformer_blocks:
        block.attn1.register_forward_hook(reuse)
    expected = sample(model, on_step=next_step)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "config", [ClusCaConfig(), PAPER, ClusCaConfig(corrector=NoCorrection())], ids=str
)
def test_a_picture_does_not_depend_on_its_batch(config, device):
    """Beyond what the uncached model's own batch-dependent arithmetic makes of it."""
    model = make_dit(device)
    batch = sample(model, samples=3)
    alone = [sample(model, samples=1, seed=0)]
    untouched = (batch[:1] - alone[0]).abs().max()
    with cache(model, config, **options()):
        batch = sample(model, samples=3)
        alone = sample(model, samples=1, seed=0)
    assert (batch[:1] - alone).abs().max() <= 4 * untouched + 1e-5


def test_sharing_makes_guided_rows_agree(device):
    """Where the conditions are the same, cond and uncond rows get the same corrections."""
    model = make_dit(device)
    with torch.no_grad():
        for block in model.transformer_blocks:
            table = block.norm1.emb.class_embedder.embedding_table.weight
            table.copy_(table[:1].expand_as(table))
    outputs = []
    model.register_forward_hook(lambda module, args, out: outputs.append(out.sample))
    with cache(model, ClusCaConfig(schedule=EvenSchedule(interval=4)), **options()):
        sample(model)
    for out in outputs:
        cond, uncond = out.chunk(2)
        torch.testing.assert_close(cond, uncond, rtol=1e-5, atol=1e-5)


def test_error_of_half_precision_is_torchs_own(device):
    """Fused bfloat16 against float32: at most twice what plain reuse in bfloat16 is off by."""
    schedule = IntervalSchedule(interval=3, warmup=2)
    config = ClusCaConfig(
        schedule=schedule, forecaster=TaylorForecaster(), corrector=NoCorrection()
    )
    runs = {}
    for dtype in (torch.float32, torch.bfloat16):
        model = make_dit(device, dtype=dtype)
        untouched = sample(model).float()
        with cache(model, config, **options()):
            runs[dtype] = untouched, sample(model).float()
    plain = (runs[torch.bfloat16][0] - runs[torch.float32][0]).norm()
    fused = (runs[torch.bfloat16][1] - runs[torch.float32][1]).norm()
    assert fused <= 2 * plain
