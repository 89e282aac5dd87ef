"""SpeCa and AdaCache as shipped, over whole runs, against plain transcriptions."""

import dataclasses

import pytest
import torch

from clusca_ext import cache
from clusca_ext.enable import cache_of
from clusca_ext.methods import method
from clusca_ext.schedule.adacache import CODEBOOK_30
from plain_modules import PlainAdaCache, PlainSpeCa
from small_dit import options, sample, widen

STEPS = 30


def letters(kinds):
    return "".join(kind[0] for kind in kinds)


def assert_same_run(model, plain, config):
    expected = sample(plain, STEPS, samples=1)
    with cache(model, config, **options(STEPS)):
        got = sample(model, STEPS, samples=1)
        assert letters(cache_of(model).leader.kinds) == letters(plain.kinds)
    assert 0 < plain.kinds.count("full") < STEPS
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def run_speca(model, by=3, **changed):
    """What errors decided, and the run's kinds of steps."""
    config = method("speca")
    schedule = dataclasses.replace(config.schedule, **changed)
    plain = PlainSpeCa(widen(model, by), STEPS, config.forecaster.order, vars(schedule))
    assert_same_run(model, plain, dataclasses.replace(config, schedule=schedule))
    return plain.told, letters(plain.kinds)


def test_speca_as_shipped(model):
    """Errors decide, for the threshold has fallen below them: at the start it allowed each."""
    told, kinds = run_speca(model, by=1.5)
    assert {full for *_, full in told} == {True, False}
    late = [error for _, error, allowed, full in told if full and error < 0.1]
    assert len(late) > 3
    assert kinds.startswith("fcfccc")


def test_speca_takes_the_threshold_of_the_step_that_is_decided(model):
    """That of the step before would have allowed an error."""
    told, _ = run_speca(model, threshold=0.2, decay=1e-3, floor=1e-3)
    fall = 1e-3 ** (1 / (STEPS - 1))
    assert any(full and error < allowed / fall for _, error, allowed, full in told)


def test_speca_with_a_floor(model):
    """Errors that the falling threshold alone would not allow are allowed."""
    told, _ = run_speca(model, floor=0.05, min_skips=1)
    fallen = [0.1 * 0.01 ** (step / (STEPS - 1)) for step, *_ in told]
    assert any(not t[3] and t[1] > bound for t, bound in zip(told, fallen, strict=True))
    assert any(t[3] for t in told)


def test_speca_skips_so_many_at_most(model):
    told, kinds = run_speca(model, threshold=5.0, decay=1.0, min_skips=2, max_skips=3)
    assert not any(full for *_, full in told)
    assert kinds == "fcf" + "cccf" * 6 + "ccc"


@pytest.mark.parametrize("codebook", [CODEBOOK_30, ((0.05, 4), (0.07, 3), (0.15, 2))])
def test_adacache_as_shipped(codebook, model):
    """Every module's last output is reused, not one residual of all."""
    config = method("adacache")
    assert config.schedule.codebook == CODEBOOK_30
    schedule = dataclasses.replace(config.schedule, codebook=codebook)
    plain = PlainAdaCache(widen(model, by=3), codebook)
    assert_same_run(model, plain, dataclasses.replace(config, schedule=schedule))
    taken = {next((n for bound, n in codebook if c < bound), 1) for c in plain.changes}
    assert len(taken) > 1, plain.changes
