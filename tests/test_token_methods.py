"""Published methods that choose tokens, by name."""

import pytest

from clusca_ext import ClusCaConfig, IntervalSchedule, RandomScores, ReuseForecaster, cache, summary
from clusca_ext.methods import method
from small_dit import make_dit, options, sample


@pytest.mark.parametrize(
    "name, schedule, ratio, every",
    [
        ("toca", IntervalSchedule(interval=3, warmup=1), 0.175, 1),
        ("duca", IntervalSchedule(interval=3, warmup=1), 0.175, 2),
        ("cat", IntervalSchedule(interval=5, warmup=8), 0.3, 1),
    ],
)
def test_settings(name, schedule, ratio, every):
    config = method(name)
    assert (config.schedule, config.forecaster) == (schedule, ReuseForecaster())
    corrector = config.corrector
    assert (corrector.ratio, corrector.every) == (ratio, every)
    assert corrector.persistent
    assert ClusCaConfig.from_dict(config.to_dict()) == config


def test_scores():
    toca, duca, cat = (method(name).corrector.scores for name in ("toca", "duca", "cat"))
    assert (toca.staleness_weight, toca.interval) == (0.25, 3)
    assert duca == RandomScores()
    assert cat.interval == 5


@pytest.mark.parametrize(
    "name, said",
    [
        ("toca", "11 of 64 in an MLP"),
        ("duca", "11 of 64 in an MLP, at 4 of 8 cached steps"),
        ("cat", "19 of 64 in an MLP"),
    ],
)
def test_runs(name, said, device):
    model = make_dit(device)
    with cache(model, method(name), **options(12)):
        sample(model, 12)
        words = str(summary(model))
    assert f"tokens computed  {said}\n" in words
    assert ("k-means" in words) == (name == "cat")


def test_refuses_an_unknown_name():
    with pytest.raises(ValueError, match=r"name must be one of \[.*'toca'.*\], got 'tocca'"):
        method("tocca")
