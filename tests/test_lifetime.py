"""What a cache survives and what survives it: interrupts, copies, modes, its model's end."""

import copy
import gc
import weakref

import pytest
import torch

from bare_runs import BARE, call, kinds
from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    IntervalSchedule,
    cache,
    disable_cache,
    enable_cache,
    ops,
    summary,
)
from clusca_ext.enable import cache_of
from clusca_ext.timing import StepTimes
from small_dit import make_dit, options, sample


def test_a_cached_model_can_be_freed():
    model = make_dit()
    enable_cache(model, BARE)
    assert kinds(model, [900, 800]) == "fc"
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


def test_a_cache_is_no_part_of_the_models_state(model):
    names = set(model.state_dict())
    modules = len(list(model.modules()))
    enable_cache(model, BARE)
    call(model, 900)
    assert set(model.state_dict()) == names
    assert len(list(model.modules())) == modules


@pytest.mark.parametrize("after", [0, 2], ids=["new", "used"])
def test_a_deep_copy_is_an_uncached_model(model, after):
    config = ClusCaConfig(schedule=IntervalSchedule(interval=9, warmup=1))
    enable_cache(model, config)
    expected = make_dit()
    clean = [call(model, t) for t in (900, 800, 700, 600)]
    for t in (900, 800)[:after]:
        call(model, t)
    copied = copy.deepcopy(model)
    with torch.no_grad():  # the copy's own weights are the ones it runs on
        for each in (copied, expected):
            for parameter in each.parameters():
                parameter.mul_(1.1)
    for t in (900, 800):
        assert torch.equal(call(copied, t), call(expected, t))
    with pytest.raises(ValueError, match="has no cache: call enable_cache first"):
        summary(copied)
    rest = (900, 800, 700, 600)[after:]
    for t, out in zip(rest, clean[after:], strict=True):  # the original goes on
        assert torch.equal(call(model, t), out)
    enable_cache(copied, config)
    assert kinds(copied, [900, 800]) == "fc"
    disable_cache(copied)
    disable_cache(model)
    assert torch.equal(call(copied, 900), call(expected, 900))


@pytest.mark.parametrize("at", [1, 3], ids=["cached", "full"])
def test_a_keyboard_interrupt_within_a_step(model, at):
    """The caller catches it and goes on: with a new run."""

    def interrupt(module, args):
        raise KeyboardInterrupt

    enable_cache(model, BARE)
    assert kinds(model, [900, 800, 700][:at]) == "fcc"[:at]
    handle = model.transformer_blocks[1].ff.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        call(model, 600)
    handle.remove()
    assert kinds(model, [500, 400, 300, 200]) == "fccf"


def test_inputs_in_any_order(model):
    enable_cache(model, BARE)
    rows = torch.randn(2, 1, 16, 16)
    labels = torch.tensor([1, 2])
    for t in (900, 800):
        with torch.no_grad():
            out = model(class_labels=labels, timestep=torch.full((2,), t), hidden_states=rows)
        assert out.sample.isfinite().all()
    assert (summary(model).full, summary(model).cached) == (1, 1)


def test_autocast(model):
    """Latents are float32, the stream bfloat16."""
    steps = (900, 800, 700, 600)
    with torch.autocast("cpu", torch.bfloat16):
        untouched = call(model, 900)
        enable_cache(model, BARE)
        assert torch.equal(call(model, 900), untouched)
        assert cache_of(model).modules[0, "mlp"].feature.factors.dtype == torch.bfloat16
        half = [call(model, t).float() for t in steps]
        assert kinds(model, [900, 800]) == "fc"
    assert kinds(model, [700, 600]) == "fc"  # another precision, another run
    whole = [call(model, t) for t in steps]
    for a, b in zip(half, whole, strict=True):
        assert (a - b).norm() < 0.05 * b.norm()


@pytest.mark.parametrize("first", [torch.inference_mode, torch.no_grad])
def test_inference_mode_may_change_within_a_run(model, first):
    second = torch.no_grad if first is torch.inference_mode else torch.inference_mode
    enable_cache(model, BARE)
    steps = (900, 800, 700, 600, 500)
    expected = [call(model, t) for t in steps]
    rows = {t: torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(t)) for t in steps}
    for i, (t, out) in enumerate(zip(steps, expected, strict=True)):
        with first() if i % 2 == 0 else second():
            got = model(rows[t], timestep=torch.full((2,), t), class_labels=torch.arange(2))
            assert torch.equal(got.sample, out)
    assert summary(model).steps == 5


@pytest.mark.parametrize("first", [torch.inference_mode, torch.no_grad])
def test_inference_mode_may_change_between_runs(model, first):
    second = torch.no_grad if first is torch.inference_mode else torch.inference_mode
    enable_cache(model, BARE)
    outputs = []
    for mode in (first, second, first):
        with mode():
            for t in (900, 800, 700):
                rows = torch.ones(2, 1, 16, 16)
                out = model(rows, timestep=torch.full((2,), t), class_labels=torch.arange(2))
        outputs.append(out.sample)
    assert torch.equal(outputs[0], outputs[1]) and torch.equal(outputs[0], outputs[2])
    assert summary(model).steps == 3


def test_a_with_block_may_disable_its_cache(model):
    with cache(model, BARE):
        disable_cache(model)
    with cache(model, BARE):
        disable_cache(model)
        enable_cache(model, BARE)
    assert kinds(model, [900, 800]) == "fc"  # that of the block is another's


def test_cached_steps_keep_no_stream(model):
    kept = []
    model.transformer_blocks[-1].register_forward_hook(
        lambda module, args, output: kept.append(weakref.ref(output))
    )
    enable_cache(model, BARE)
    for t in (900, 800, 700):
        call(model, t)
    gc.collect()
    assert [output() for output in kept] == [None] * 3


def test_a_token_that_is_not_finite_represents_nobody():
    """Only where it is one of its cluster's tokens could it be drawn, so it is in no cluster."""
    config = ClusCaConfig(corrector=ClusterCorrector(num_clusters=2))
    model = make_dit()
    with cache(model, config, **options()):
        sample(model)
        clusters = cache_of(model).clusters
        tokens = torch.randn(4, 6, 32)
        tokens[0, 2, 5], tokens[1, 3, 0] = float("nan"), float("inf")
        clusters.fit(tokens)
        drawn = torch.stack([clusters.select(step, 1)[0] for step in range(60)])  # [60, B, K]
    assert clusters.cluster_ids[0, 2] == clusters.cluster_ids[1, 3] == -1
    assert clusters.cluster_ids.ge(0).sum() == 10
    assert not (drawn[:, 0] == 2).any() and not (drawn[:, 1] == 3).any()
    assert set(drawn[:, 0].unique().tolist()) == {0, 1, 3, 4, 5}


def test_events_are_of_the_tensors_device(monkeypatch):
    """Not of the current one."""
    asked = []

    class Event:
        def __init__(self, enable_timing):
            pass

        def record(self, stream):
            asked.append(stream)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: ("stream", device))
    monkeypatch.setattr(torch.cuda, "synchronize", asked.append)
    device = torch.device("cuda", 1)
    times = StepTimes(device)
    times.start()
    times.seconds()
    assert asked == [("stream", device), device]


@pytest.mark.parametrize("storage", ["per_block", "lean"])
@pytest.mark.parametrize("fit", [1, 2])
def test_an_exception_at_the_end_of_a_full_step_ends_the_run(model, monkeypatch, storage, fit):
    """There is no memory for k-means, after features were kept."""
    config = ClusCaConfig(schedule=BARE.schedule, storage=storage)
    times = (900, 800, 700, 600, 500)
    enable_cache(model, config, timesteps=times)
    clean = [call(model, t) for t in times]
    with monkeypatch.context() as patch:
        fits, kmeans_fit = [], ops.kmeans_fit

        def fail(*args):
            fits.append(args)
            if len(fits) == fit:
                raise torch.OutOfMemoryError("for k-means")
            return kmeans_fit(*args)

        patch.setattr(ops, "kmeans_fit", fail)
        with pytest.raises(torch.OutOfMemoryError, match="for k-means"):
            [call(model, t) for t in times]
    assert cache_of(model).branch.storage.bytes() == 0
    again = [call(model, t) for t in times]
    assert all(torch.equal(a, b) for a, b in zip(again, clean, strict=True))
