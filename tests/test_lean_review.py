"""What a review found of lean storage: each of these was wrong once."""

import copy
import dataclasses
from dataclasses import replace

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    EvenSchedule,
    ExplicitSchedule,
    IntervalSchedule,
    LeanStorage,
    NoCorrection,
    TaylorForecaster,
    cache,
    summary,
)
from clusca_ext.cache import Cache
from clusca_ext.storage.lean import foresight
from families_image import PIXART, qwen
from families_video import hunyuan_video, ltx, wan
from small_dit import make_dit, options, sample
from test_branches import STEPS, draw, wan_pipeline
from test_families import TIMES, run
from test_lean_families import error
from test_uvit import ADAPTER, UViT
from test_uvit import run as run_uvit

CONFIG = ClusCaConfig(
    schedule=ExplicitSchedule(steps=(0, 2, 5)), corrector=NoCorrection(), storage="lean"
)


@pytest.mark.parametrize("corrector", [NoCorrection(), ClusterCorrector(num_clusters=5)])
def test_streams_whose_shape_is_seen_when_they_come(corrector):
    """Of U-ViT, whose blocks are segments of their own and have no gates: then gated is exact."""
    model, outputs = UViT(), []
    for storage in ("per_block", "lean"):
        config = replace(CONFIG, corrector=corrector, storage=storage)
        with cache(model, config, adapter=ADAPTER):
            first = run_uvit(model)
            outputs.append(run_uvit(model))
            assert all(torch.equal(a, b) for a, b in zip(first, outputs[-1], strict=True))
            assert summary(model).cached > 0
    bound = 2e-6 if isinstance(corrector, NoCorrection) else 0.1
    assert error(outputs[1], outputs[0]) <= bound


@pytest.mark.parametrize(
    "family",
    [qwen(edit=True), hunyuan_video("token_replace"), wan(per_token=True), ltx(per_token=True)],
    ids=str,
)
def test_gates_of_every_token_are_not_made(family):
    """Only representatives' are asked for."""
    model, held = family.make(), []
    config = replace(CONFIG, corrector=ClusterCorrector(num_clusters=8))
    with cache(model, config, timesteps=TIMES):
        found = Cache.of(model)
        last = found.blocks[-1].block
        last.register_forward_hook(
            lambda *_: held.append([module.gate for module in found.modules.values()])
        )
        run(family, model)
        assert summary(model).cached == 5
    assert all(gate is None for gates in held for gate in gates)


def in_half(family):
    def halved(value):
        floating = isinstance(value, torch.Tensor) and value.is_floating_point()
        return value.half() if floating else value

    def inputs(noise, t):
        given = family.inputs(noise, t)
        return {k: v if k == "timestep" else halved(v) for k, v in given.items()}

    return dataclasses.replace(family, inputs=inputs)


@pytest.mark.parametrize("family", [PIXART, wan()], ids=str)
@pytest.mark.parametrize("basis", ["window", "shared-emb"])
def test_float16_does_not_overflow_in_sums(family, basis):
    """The stream stays below 65,504, sums of its modules do not."""
    model = family.make()
    for block in getattr(model, "transformer_blocks", None) or model.blocks:
        mlp = getattr(block, "ff", None) or block.ffn
        last = [each for each in mlp.modules() if isinstance(each, torch.nn.Linear)][-1]
        with torch.no_grad():
            last.bias[:4].fill_(4e4)
    model, half = model.half(), in_half(family)
    assert all(step.isfinite().all() for step in run(half, model))
    with cache(model, replace(CONFIG, storage=LeanStorage(basis=basis)), timesteps=TIMES):
        assert all(step.isfinite().all() for step in run(half, model))


def test_a_lora_is_cached_in_every_branch():
    """Modules are exchanged between runs: in branches, too, that have not called yet."""
    pipe = wan_pipeline()
    with cache(pipe, CONFIG):
        draw(pipe)
        block = pipe.transformer.blocks[0]
        block.ffn = torch.nn.Sequential(block.ffn)  # as a LoRA wraps it
        got, found = draw(pipe), Cache.of(pipe.transformer)
        kinds = [branch.kinds for branch in found.branches.values()]
        assert len(kinds) == 2 and kinds[0] == kinds[1] and kinds[0].count("cached") == STEPS - 3
        assert torch.equal(draw(pipe), got)


@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("basis", ["shared-emb", "window"])
def test_nan_of_one_run_is_not_in_the_next(basis, offload):
    family = wan()
    model, storage = family.make(), LeanStorage(basis=basis, offload=offload)

    def broken(noise, t):
        given = family.inputs(noise, t)
        return given | {"hidden_states": given["hidden_states"] * torch.nan}

    config = replace(CONFIG, schedule=IntervalSchedule(interval=2, warmup=1), storage=storage)
    with cache(model, config, timesteps=TIMES):
        expected = run(family, model)
        run(dataclasses.replace(family, inputs=broken), model)
        again = run(family, model)
    assert all(torch.equal(a, b) for a, b in zip(again, expected, strict=True))


@pytest.mark.parametrize("basis", ["gated", "window"])
def test_a_copy_is_not_cached(basis):
    model = make_dit()
    config = replace(CONFIG, schedule=EvenSchedule(interval=4), storage=LeanStorage(basis=basis))
    expected = sample(model)
    with cache(model, config, **options()):
        sample(model)
        assert torch.equal(sample(copy.deepcopy(model)), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("basis", ["window", "exact"])
def test_the_default_dtype_is_not_asked(basis, dtype):
    model, config = make_dit(), replace(CONFIG, storage=LeanStorage(basis=basis))
    with cache(model, config, **options()):
        expected = sample(model)
        noise = torch.randn(2, 1, 16, 16)
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            Cache.of(model).restart()
            steps = options()["timesteps"]
            with torch.no_grad():
                for step in steps:
                    rows = step.expand(2)
                    model(noise, timestep=rows, class_labels=torch.ones(2, dtype=torch.int64))
        finally:
            torch.set_default_dtype(before)
        Cache.of(model).restart()
        assert torch.equal(sample(model), expected)


@pytest.mark.parametrize("change", [0, 1])
def test_conditions_on_a_device_are_told_by_their_values(change, monkeypatch):
    """A buffer that is written anew may hold what it held; or not."""
    monkeypatch.setattr(foresight, "is_free", lambda tensor: False)
    model, noise = make_dit(), torch.randn(2, 1, 16, 16)
    labels, times = torch.ones(2, dtype=torch.int64), [900, 800, 700, 600, 500, 400]

    def go():
        with torch.no_grad(), cache(model, CONFIG, timesteps=times):
            for step, timestep in enumerate(times):
                labels.fill_(1 + change * (step > 2))
                model(noise, timestep=torch.full((2,), timestep), class_labels=labels)

    if not change:
        go()
        return
    with pytest.raises(ValueError, match="must be those announced for their step"):
        go()


def test_forecasts_of_higher_order_without_clusters_need_no_modulation():
    model = make_dit()
    with cache(model, replace(CONFIG, forecaster=TaylorForecaster(order=2)), **options()):
        sample(model)
        assert Cache.of(model).branch.plan.bytes() == 0
