"""SpeCa where a module's output is verified, as published for FLUX.1."""

from dataclasses import replace

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    NoCorrection,
    SpeCaSchedule,
    TaylorForecaster,
    cache,
    disable_cache,
    enable_cache,
    method,
)
from clusca_ext.enable import cache_of
from families_image import IMAGES, make_flux
from flux_pipelines import make_pipeline
from small_dit import make_dit
from test_adapting_exactly import DIT, cached
from test_adapting_exactly import TIMES as REAL_TIMES
from test_families import run

FLUX = next(each for each in IMAGES if each.name == "FluxTransformer2DModel")
TIMES = [950.0, 900.0, 850.0, 800.0, 750.0, 700.0, 650.0, 600.0]


def config_of(compared, threshold=1.0, **options):
    schedule = SpeCaSchedule(
        threshold=threshold, floor=threshold, min_skips=1, max_skips=3, warmup=1, compared=compared
    )
    parts = {"forecaster": TaylorForecaster(order=1), "corrector": NoCorrection()}
    return ClusCaConfig(schedule=schedule, **(parts | options))


def test_flux_has_its_published_settings():
    expected = SpeCaSchedule(
        threshold=7.0, decay=0.3, floor=0.1, min_skips=3, max_skips=8, compared="output"
    )
    for model in (make_flux(), make_pipeline()):
        config = method("speca", model)
        assert config.schedule == expected
        assert config.forecaster == TaylorForecaster(order=2, bounded=False)
    assert method("speca").schedule.compared == "stream"


def test_the_default_is_saved_as_before():
    assert "compared" not in ClusCaConfig(schedule=SpeCaSchedule()).to_dict()["schedule"]
    config = config_of("output")
    assert ClusCaConfig.from_dict(config.to_dict()) == config


def test_lean_storage_keeps_no_output():
    model = make_flux()
    forward = model.single_transformer_blocks[-1].forward
    config = replace(config_of("output"), storage="lean")
    with pytest.raises(ValueError, match='compared must be "stream" where storage is lean'):
        enable_cache(model, config, timesteps=TIMES)
    assert model.single_transformer_blocks[-1].forward == forward
    with cache(model, replace(config, schedule=config_of("stream").schedule), timesteps=TIMES):
        run(FLUX, model, times=TIMES)


def test_what_is_compared_was_not_corrected():
    """A corrector that writes into the cache moves it after that."""
    model, told = make_dit(layers=1), []
    schedule = SpeCaSchedule(
        threshold=1e9, floor=1e9, min_skips=1, max_skips=1, warmup=1, compared="output"
    )
    written = ClusterCorrector(num_clusters=4, gamma=1.0, rule="value", persistent=True)
    for corrector in (NoCorrection(), written):
        parts = {"forecaster": TaylorForecaster(), "corrector": corrector}
        _, kinds, errors = cached(DIT, model, schedule, REAL_TIMES, **parts)
        assert kinds == "fcfcf"
        told.append([each[2] for each in errors])  # of step 1, whose input is the same
    assert told[0] == pytest.approx(told[1], rel=1e-6) and min(told[0]) > 0


def test_what_can_be_compared():
    with pytest.raises(
        ValueError, match=r"compared must be one of \['stream', 'output'\], got 'x'"
    ):
        SpeCaSchedule(compared="x")


def test_an_error_decides_and_nothing_is_left_of_it():
    model = make_flux()
    module = model.single_transformer_blocks[-1].proj_out
    hooks = len(module._forward_hooks)
    kinds = {}
    for threshold in (0.0, 1e9):
        enable_cache(model, config_of("output", threshold), timesteps=TIMES)
        run(FLUX, model, times=TIMES)
        kinds[threshold] = "".join(kind[0] for kind in cache_of(model).leader.kinds)
        disable_cache(model)
    assert kinds == {0.0: "fcfcfcfc", 1e9: "fcccfccc"}
    assert len(module._forward_hooks) == hooks


@pytest.mark.parametrize("blocks", [False, True], ids=["whole", "blocks"])
def test_compiled(blocks):
    """The same decisions and outputs, before and after runs that compare streams."""
    torch._dynamo.reset()
    model = make_flux()

    def drawn(compared):
        with cache(model, config_of(compared, 0.4), timesteps=TIMES):
            outputs = run(FLUX, model, times=TIMES)
            return cache_of(model).leader.kinds, outputs

    order = ("output", "stream", "output")
    expected = [drawn(each) for each in order]
    assert expected[0][0] != expected[1][0]
    if blocks:
        model.compile_repeated_blocks(backend="eager")
    else:
        model.compile(backend="eager")
    for each, (kinds, outputs) in zip(order, expected, strict=True):
        now, got = drawn(each)
        assert now == kinds
        for a, b in zip(got, outputs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
