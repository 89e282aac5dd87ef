"""Published methods by name, and what they and parts within parts are saved as."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from diffusers import WanTransformer3DModel
from torch import nn

from clusca_ext import (
    ClusCaConfig,
    DampedForecaster,
    FrequencyForecaster,
    IntervalSchedule,
    LeanStorage,
    NewtonForecaster,
    NoCorrection,
    SpacedHermiteForecaster,
    TeaCacheSchedule,
    cache,
    method,
    summary,
)
from clusca_ext.adapters.checkpoints import CHECKPOINTS, checkpoint_of
from clusca_ext.drawing.choice import by_name
from clusca_ext.methods import METHODS
from clusca_ext.schedule import TEACACHE_POLYNOMIALS
from families_video import VIDEOS
from flux_pipelines import make_pipeline
from small_dit import make_dit, options, sample


@pytest.mark.parametrize("name", METHODS)
def test_every_method_runs_and_survives_a_file(name, tmp_path):
    config = method(name)
    config.save(tmp_path / "config.json")
    assert ClusCaConfig.load(tmp_path / "config.json") == config
    model = make_dit()
    with cache(model, config, **options()):
        assert sample(model).isfinite().all()
        done = summary(model)
    # What a schedule that looks at the changes of a tiny random model makes of it is its own.
    adapts = hasattr(config.schedule, "signal") and name != "speca"
    assert done.steps == 12 and (adapts or done.cached + done.partial > 0)


@pytest.mark.parametrize(
    "name, interval, warmup, order",
    [("fora", 3, 1, 0), ("taylorseer", 5, 3, 2), ("freqca", 6, 3, 2)],
)
def test_their_settings(name, interval, warmup, order):
    config = method(name)
    assert config.schedule == IntervalSchedule(interval=interval, warmup=warmup)
    assert config.forecaster.order == order and config.corrector == NoCorrection()


def test_a_subclass_has_the_settings_of_its_class():
    """``fully_shard`` of torch makes one, of whatever it shards."""
    pipe, plain = make_pipeline(), make_pipeline()
    kind = type(pipe.transformer)
    pipe.transformer.__class__ = type(f"FSDP{kind.__name__}", (kind,), {})
    for name in ("teacache", "speca"):
        config = method(name, plain.transformer)
        assert method(name, pipe.transformer) == config != method(name)
    assert checkpoint_of([_small_wan("FSDPWan")]) == checkpoint_of([_small_wan(None)]) != ""


def _small_wan(name):
    """Nothing but what a published checkpoint is known by."""
    has = CHECKPOINTS["Wan2.1-T2V-1.3B"][1]
    kind = WanTransformer3DModel if name is None else type(name, (WanTransformer3DModel,), {})
    model = kind.__new__(kind)
    nn.Module.__init__(model)
    object.__setattr__(model, "_internal_dict", SimpleNamespace(**has))
    return model


def test_teacache_has_its_models_polynomial():
    published = TEACACHE_POLYNOMIALS["FluxTransformer2DModel"]
    pipe = make_pipeline()
    for model in (pipe, pipe.transformer):
        config = method("teacache", model)
        assert config.schedule == TeaCacheSchedule(threshold=0.25, polynomial=published)
        assert replace(config, schedule=method("teacache").schedule) == method("teacache")
    with pytest.warns(UserWarning, match="TeaCache is not published for this DiTTransformer2DMod"):
        assert method("teacache", make_dit()) == method("teacache")
    ltx = next(family for family in VIDEOS if "LTX" in family.name).make()
    assert method("teacache", ltx).schedule.threshold == 0.03
    assert method("fora", pipe) == method("fora")
    with pytest.raises(ValueError, match="must be a torch.nn.Module or a pipeline"):
        method("teacache", "flux")
    lean = replace(by_name("teacache"), config=replace(config, storage="lean"))
    assert lean.on(pipe).config == replace(config, storage="lean")
    assert by_name("default").on(pipe) == by_name("default")


@pytest.mark.parametrize(
    "forecaster",
    [
        SpacedHermiteForecaster(unit="spacing", bounded=False),
        FrequencyForecaster(
            forecaster=DampedForecaster(forecaster=NewtonForecaster(order=3), eta=0.8),
            low_band=0.2,
        ),
    ],
    ids=str,
)
def test_parts_within_parts_survive_a_file(forecaster, tmp_path):
    storage = LeanStorage(basis="gated")
    config = ClusCaConfig(forecaster=forecaster, corrector=NoCorrection(), storage=storage)
    config.save(tmp_path / "config.json")
    assert ClusCaConfig.load(tmp_path / "config.json") == config
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["forecaster"]["type"] == type(forecaster).__name__


def test_rejects_a_wrong_part_within_a_part():
    values = {"forecaster": {"type": "DampedForecaster", "forecaster": {"type": "Newton"}}}
    with pytest.raises(ValueError, match="type of forecaster must be one of .* got 'Newton'"):
        ClusCaConfig.from_dict(values)


@pytest.mark.parametrize("name", ["ours", [], None])
def test_rejects_an_unknown_name(name):
    with pytest.raises(ValueError, match=r"name must be one of \['adacache', .* got"):
        method(name)
