"""Published methods by name."""

import pytest

from clusca_ext import ClusCaConfig, IntervalSchedule, NoCorrection, cache, method, summary
from clusca_ext.methods import METHODS
from small_dit import make_dit, options, sample


@pytest.mark.parametrize("name", METHODS)
def test_every_method_runs_and_survives_a_file(name, tmp_path):
    config = method(name)
    config.save(tmp_path / "config.json")
    assert ClusCaConfig.load(tmp_path / "config.json") == config
    model = make_dit()
    with cache(model, config, **options()):
        assert sample(model).isfinite().all()
        assert summary(model).cached > 0


@pytest.mark.parametrize(
    "name, interval, warmup, order",
    [("fora", 3, 1, 0), ("taylorseer", 5, 3, 2), ("freqca", 6, 3, 2)],
)
def test_their_settings(name, interval, warmup, order):
    config = method(name)
    assert config.schedule == IntervalSchedule(interval=interval, warmup=warmup)
    assert config.forecaster.order == order and config.corrector == NoCorrection()


@pytest.mark.parametrize("name", ["ours", [], None])
def test_rejects_an_unknown_name(name):
    with pytest.raises(ValueError, match=r"name must be one of \['fora', .* got"):
        method(name)
