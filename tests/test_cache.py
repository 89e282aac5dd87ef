"""The life of a cache: runs, resets, errors in the middle, what a summary says."""

import copy
import dataclasses

import pytest
import torch

from bare_runs import BARE, call, kinds
from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    EvenSchedule,
    ExplicitSchedule,
    IntervalSchedule,
    NoCorrection,
    cache,
    disable_cache,
    enable_cache,
    reset,
    summary,
)
from small_dit import make_dit, options, sample


def test_a_bare_models_run_begins_where_the_timestep_rises(model):
    enable_cache(model, BARE)
    assert kinds(model, [900, 800, 700, 600]) == "fccf"
    assert kinds(model, [900, 800]) == "fc"
    assert kinds(model, [800, 700]) == "cf"  # equal timesteps: a second-order call
    assert "timestep" in summary(model).run_known_by


def test_known_timesteps_bound_a_run(model):
    config = ClusCaConfig(schedule=EvenSchedule(interval=4, warmup=1))
    enable_cache(model, config, timesteps=[900, 700, 500, 300])
    assert kinds(model, [900, 700, 500, 300]) == "fccc"
    assert kinds(model, [900, 700]) == "fc"
    assert summary(model).num_steps == 4
    assert kinds(model, [900, 700, 500]) == "fcc"  # the run before was broken off


@pytest.mark.parametrize("change", [{"batch": 3}, {"size": 8}], ids=["batch", "shape"])
def test_a_changed_input_begins_a_run(model, change):
    enable_cache(model, BARE)
    assert kinds(model, [900, 800]) == "fc"
    assert kinds(model, [700, 600], **change) == "fc"


def assert_begins_clean(model, times, **place):
    """The moved model's steps are a run of their own, as of one that was there from the start."""
    enable_cache(model, BARE)
    assert kinds(model, [900, 800]) == "fc"
    model.to(*place.values())
    ours = [call(model, time, **place) for time in times]
    assert (summary(model).full, summary(model).cached) == (1, 2)
    with cache(make_dit(**place), BARE) as fresh:
        for our, time in zip(ours, times, strict=True):
            assert torch.equal(our, call(fresh, time, **place))
    model.to("cpu", torch.float32)
    assert kinds(model, [times[-1] - 100, times[-1] - 200]) == "fc"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("times", [(900, 800, 700), (700, 600, 500)], ids=["between", "within"])
def test_a_changed_dtype_begins_a_run(model, times, dtype):
    assert_begins_clean(model, times, dtype=dtype)


@pytest.mark.parametrize("times", [(900, 800, 700), (700, 600, 500)], ids=["between", "within"])
def test_a_changed_device_begins_a_run(model, times, cuda):
    assert_begins_clean(model, times, device=cuda)


def test_a_dtype_that_is_refused_ends_the_run(model):
    enable_cache(model, BARE)
    assert kinds(model, [900, 800]) == "fc"
    model.double()
    with pytest.raises(ValueError, match="got float64"):
        call(model, 700, dtype=torch.float64)
    model.float()
    assert kinds(model, [600, 500]) == "fc"


def test_reset_begins_a_run(model):
    enable_cache(model, BARE)
    assert kinds(model, [900, 800]) == "fc"
    reset(model)
    assert kinds(model, [700, 600]) == "fc"


@pytest.mark.parametrize("at", [0, 1, 2, 3], ids=["full", "cached", "cached-2", "full-2"])
def test_an_exception_leaves_nothing_behind(model, at):
    enable_cache(model, BARE)
    clean = [call(model, t) for t in (900, 800, 700, 600, 500)]
    broken = model.transformer_blocks[1].ff
    for t in (900, 800, 700, 600)[:at]:
        call(model, t)

    def fail(module, args):
        raise RuntimeError("out of memory")

    handle = broken.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        call(model, (900, 800, 700, 600)[at])
    handle.remove()
    again = [call(model, t) for t in (900, 800, 700, 600, 500)]
    assert all(torch.equal(a, b) for a, b in zip(again, clean, strict=True))
    disable_cache(model)
    assert torch.equal(call(model, 900), call(make_dit(), 900))


def test_an_interrupted_run_leaves_nothing_behind(model):
    """The caller stops between two steps: the timestep rises."""
    enable_cache(model, BARE)
    clean = [call(model, t) for t in (900, 800, 700)]
    call(model, 900), call(model, 800)
    assert all(
        torch.equal(call(model, t), out) for t, out in zip((900, 800, 700), clean, strict=True)
    )


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("config", [ClusCaConfig(), ClusCaConfig.paper("dit")], ids=str)
def test_short_runs(model, steps, config):
    expected = sample(model, steps)
    with cache(model, config, **options(steps)):
        out = sample(model, steps)
        assert out.isfinite().all()
        if summary(model).cached == 0:
            assert torch.equal(out, expected)


def test_an_interval_beyond_the_run(model):
    config = ClusCaConfig(schedule=IntervalSchedule(interval=99, warmup=1))
    with cache(model, config, **options()):
        assert sample(model).isfinite().all()
        assert (summary(model).full, summary(model).cached) == (1, 11)


def test_more_clusters_than_tokens_are_cut_and_said_so(model):
    many = ClusCaConfig(corrector=ClusterCorrector(num_clusters=1000))
    all_of_them = ClusCaConfig(corrector=ClusterCorrector(num_clusters=64))
    with (
        cache(model, many, **options()),
        pytest.warns(UserWarning, match="num_clusters is 1000 but there are 64 tokens") as said,
    ):
        out = sample(model)
        assert summary(model).representatives == 64
    assert len(said) == 1
    with cache(model, all_of_them, **options()):
        assert torch.equal(sample(model), out)


def test_tokens_that_are_not_finite_do_no_harm(model):
    """The uncached model returns NaN for the sample they are in, and so does the cached one."""
    enable_cache(model, BARE)
    rows = torch.randn(2, 1, 16, 16)
    rows[0, 0, 3, 3] = float("nan")
    for t in (900, 800, 700):
        with torch.no_grad():
            out = model(rows, timestep=torch.tensor([t, t]), class_labels=torch.tensor([1, 2]))
        assert out.sample[1].isfinite().all()
        assert out.sample[0].isnan().all()
    assert (summary(model).full, summary(model).cached) == (1, 2)


def test_summary(model):
    config = ClusCaConfig(schedule=ExplicitSchedule(steps=(0, 6)))
    with cache(model, config, **options()):
        sample(model)
        done = summary(model)
    assert (done.steps, done.full, done.cached, done.partial) == (12, 2, 10, 0)
    assert (done.tokens, done.representatives, done.num_steps) == (64, 16, 12)
    features = 3 * 2 * 2 * 4 * 64 * 32 * 4  # blocks, modules, orders, rows, tokens, channels, bytes
    planned = 10 * 3 * 6 * 4 * 32 * 4  # steps, blocks, modulation, rows, channels, bytes
    ahead = 5 * 4 * 64 * 32 * 4  # steps of the longest interval, rows, tokens, channels, bytes
    assert done.cache_bytes == features + planned + ahead
    assert done.seconds.keys() == {"full", "cached"}
    assert done.total_seconds > 0 and 1 <= done.kmeans_iterations <= 10
    assert done.speedup == pytest.approx(done.seconds["full"] * 12 / done.total_seconds)
    for word in ("12 of 12", "16 of 64", "speed-up", "MiB"):
        assert word in str(done)


def test_a_summary_without_clusters(model):
    enable_cache(model, dataclasses.replace(BARE, corrector=NoCorrection()))
    assert summary(model).tokens == 0 and "tokens computed  -" in str(summary(model))
    call(model, 900), call(model, 800)
    assert (summary(model).representatives, summary(model).tokens) == (0, 64)
    assert "tokens computed  0 of 64 in an MLP" in str(summary(model))


def test_seeds_belong_to_samples(model):
    """A sample's choices follow its seed, not its row."""
    config = ClusCaConfig(corrector=ClusterCorrector(gamma=1.0))
    outputs = {}
    for seeds in ((5, 7), [7, 5], torch.tensor([5, 5])):
        with cache(model, config, **options(), seeds=seeds):
            outputs[tuple(int(seed) for seed in seeds)] = sample(model)
    assert torch.equal(outputs[5, 7][0], outputs[5, 5][0])
    assert not torch.equal(outputs[7, 5][0], outputs[5, 5][0])


def test_the_configurations_seed_matters(model):
    runs = []
    for seed in (0, 1):
        config = ClusCaConfig(corrector=ClusterCorrector(gamma=1.0), seed=seed)
        with cache(model, config, **options()):
            runs.append(sample(model))
    assert not torch.equal(*runs)


def test_a_copy_of_the_model_is_not_cached(model):

    enable_cache(model, dataclasses.replace(BARE, seed=1))
    state = copy.deepcopy(model.state_dict())
    fresh = make_dit()
    fresh.load_state_dict(state)
    assert torch.equal(call(fresh, 900), call(make_dit(), 900))
