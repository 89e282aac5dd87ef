"""Schedules that adapt: what they decide, and the whole methods against plain transcriptions."""

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
    TeaCacheSchedule,
    cache,
    summary,
)
from clusca_ext.enable import cache_of
from clusca_ext.schedule import Step
from plain_adapting import PlainAdaCache, PlainFirstBlock, PlainTeaCache
from small_dit import options, sample

RESIDUAL = {
    "forecaster": ReuseForecaster(),
    "corrector": NoCorrection(),
    "storage": LeanStorage(basis="gated"),
}


POLYNOMIAL = (0.5, 0.8, 0.01)


@pytest.mark.parametrize("threshold", [0.02, 0.05, 0.2])
def test_teacache_equals_its_transcription(model, threshold):
    plain = PlainTeaCache(model, 12, threshold, POLYNOMIAL)
    expected = sample(plain_model(plain, model), samples=1)
    schedule = TeaCacheSchedule(threshold=threshold, polynomial=POLYNOMIAL)
    with cache(model, ClusCaConfig(schedule=schedule, **RESIDUAL), **options()):
        got = sample(model, samples=1)
        assert cache_of(model).leader.kinds == plain.kinds
        assert 2 <= summary(model).full < 12
        assert "decides by what steps show" in summary(model).cached_step
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threshold", [0.2, 0.4, 0.8])
def test_first_block_cache_equals_its_transcription(model, threshold):
    plain = PlainFirstBlock(model, threshold)
    expected = sample(plain_model(plain, model), samples=1)
    schedule = FirstBlockSchedule(threshold=threshold)
    with cache(model, ClusCaConfig(schedule=schedule, **RESIDUAL), **options()):
        got = sample(model, samples=1)
        assert cache_of(model).leader.kinds == plain.kinds
        assert 1 <= summary(model).full < 12
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("codebook", [((0.05, 4), (0.1, 2)), ((0.2, 5), (0.4, 3), (0.8, 2))])
def test_adacache_equals_its_transcription(model, codebook):
    plain = PlainAdaCache(model, codebook)
    expected = sample(plain_model(plain, model), samples=1)
    schedule = AdaCacheSchedule(codebook=codebook)
    with cache(model, ClusCaConfig(schedule=schedule, **RESIDUAL), **options()):
        got = sample(model, samples=1)
        assert cache_of(model).leader.kinds == plain.kinds
        assert 3 <= summary(model).full < 12
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def plain_model(plain, model):
    """Called as ``small_dit.sample`` calls a model."""

    class Called:
        def __call__(self, rows, timestep, class_labels):
            return plain(rows, timestep, class_labels)

        def parameters(self):
            return model.parameters()

    return Called()


SCHEDULES = {
    "teacache": TeaCacheSchedule(threshold=0.04),
    "first block": FirstBlockSchedule(threshold=0.2),
    "speca": SpeCaSchedule(threshold=0.5, decay=0.5, floor=0.001, min_skips=1, warmup=1),
    "adacache": AdaCacheSchedule(codebook=((0.01, 5), (0.02, 3), (0.2, 2))),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("storage", ["per_block", "lean"])
def test_a_sample_decides_for_itself(model, name, storage):
    """In a batch as alone, bit for bit; and the number of full steps may differ."""
    config = ClusCaConfig(schedule=SCHEDULES[name], storage=storage, forecaster=ReuseForecaster())
    with cache(model, config, **options()):
        together = sample(model, samples=3)
        said = summary(model)
        full = []
        for i in range(3):
            alone = sample(model, samples=1, seed=i, label=i)
            assert torch.equal(alone, together[i : i + 1])
            full.append(summary(model).full)
    assert said.full_by_sample == tuple(full)
    assert min(full) >= 1 and max(full) < 12, full


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_second_run_is_the_first_again(model, name):
    with cache(model, ClusCaConfig(schedule=SCHEDULES[name]), **options()):
        assert torch.equal(sample(model), sample(model))
    assert torch.equal(sample(model), sample(model))


@pytest.mark.parametrize(
    "schedule",
    [
        TeaCacheSchedule(threshold=-1),
        FirstBlockSchedule(threshold=-1),
        AdaCacheSchedule(codebook=((1e-9, 1),)),
    ],
)
def test_a_threshold_of_nothing_is_the_untouched_model(model, schedule):
    """Of a batch up to rounding: its samples are called alone, and a product of fewer rows may sum
    in another order."""
    alone, batch = (sample(model, samples=count) for count in (1, 2))
    with cache(model, ClusCaConfig(schedule=schedule), **options()):
        assert torch.equal(sample(model, samples=1), alone)
        assert summary(model).cached == 0
        torch.testing.assert_close(sample(model, samples=2), batch, rtol=1e-5, atol=1e-5)
        assert summary(model).cached == 0


def decisions(schedule, shown, num_steps):
    """What is decided when each cached or full step shows a number."""
    decide, last, made = schedule.start(num_steps), None, []
    for index in range(num_steps):
        if index and shown.get(index - 1) is not None:
            decide.see(Step(index, num_steps, last), shown[index - 1])
        decision = decide(Step(index, num_steps, last))
        assert decision in (True, False)
        last = index if decision else last
        made.append("f" if decision else ("v" if decide.verifies else "c"))
    return "".join(made)


def test_speca_decides_by_recorded_errors():
    fixed = {"threshold": 0.1, "decay": 0.1, "floor": 0.02, "min_skips": 2, "max_skips": 4}
    schedule = SpeCaSchedule(warmup=3, **fixed)
    # F, T, F, then checked from the second cached step on; four in a row at most
    assert decisions(schedule, {}, 12) == "fcfcvvvfcvvv"
    # the error of step 4 is above 0.1 * 0.1 ** (5 / 11) = 0.035: step 5 is full
    assert decisions(schedule, {4: 0.036}, 12) == "fcfcvfcvvvfc"
    assert decisions(schedule, {4: 0.034}, 12) == "fcfcvvvfcvvv"
    # at the end the floor holds: 0.1 * 0.1 ** (10 / 11) = 0.012 is below 0.02
    assert decisions(schedule, {9: 0.019}, 12) == "fcfcvvvfcvvv"
    assert decisions(schedule, {9: 0.021}, 12) == "fcfcvvvfcvfc"


def test_adacache_takes_the_codebook():
    schedule = AdaCacheSchedule(codebook=((0.1, 5), (0.2, 3), (0.4, 2)), warmup=2)
    assert decisions(schedule, {1: 0.05, 6: 0.15, 9: 0.3, 11: 0.5}, 14) == "ffccccfccfcfff"


def test_the_verified_error_is_that_of_the_forecast(model):
    """Of the last block: computed from the same stream, and forecast by its last outputs."""
    seen = []

    class Told(SpeCaSchedule):
        def start(self, num_steps):
            decide = super().start(num_steps)
            see = decide.see

            def told(step, change):
                seen.append(change)
                return see(step, change)

            decide.see = told
            return decide

    schedule = Told(threshold=1e9, floor=1e9, min_skips=1, max_skips=3, warmup=1)
    config = ClusCaConfig(schedule=schedule, forecaster=ReuseForecaster(), corrector=NoCorrection())
    expected = []
    last = model.transformer_blocks[-1]
    with cache(model, config, **options()):
        own = cache_of(model).blocks[-1].original

        def check(block, args, kwargs, output):
            given = kwargs.get("hidden_states", args[0] if args else None)
            if cache_of(model).branch.kinds[-1] == "cached":
                again = own(given, **{k: v for k, v in kwargs.items() if k != "hidden_states"})
                expected.append(float(((output - again).abs() / (again.abs() + 1e-10)).mean()))

        last.register_forward_hook(check, with_kwargs=True)
        sample(model, samples=1)
        assert summary(model).full == 3 and summary(model).cached == 9
    assert seen == pytest.approx(expected[: len(seen)], rel=1e-4) and len(seen) >= 8


def test_speca_needs_to_know_the_run(model):
    with (
        cache(model, ClusCaConfig(schedule=SpeCaSchedule()), cfg_rows=("cond", "uncond")),
        pytest.raises(ValueError, match="number of steps is known"),
    ):
        sample(model)


def test_a_verified_block_must_be_there(model):
    with pytest.raises(ValueError, match="index of one of 3 blocks, got 3"):
        cache(model, ClusCaConfig(schedule=SpeCaSchedule(block=3))).__enter__()


@pytest.mark.parametrize("name", SCHEDULES)
def test_saved_and_loaded(name, tmp_path):
    config = ClusCaConfig(schedule=SCHEDULES[name])
    config.save(tmp_path / "config.json")
    assert ClusCaConfig.load(tmp_path / "config.json") == config
