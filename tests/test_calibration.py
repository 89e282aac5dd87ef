"""TeaCache's polynomial: fitted to what the full sampler shows."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from clusca_ext import ClusCaConfig, NoCorrection, ReuseForecaster, TeaCacheSchedule, cache
from clusca_ext.cli import app
from clusca_ext.enable import cache_of
from clusca_ext.learning.polynomial import Recording, fit_polynomial
from flux_pipelines import draw, make_pipeline
from plain_adapting import PlainTeaCache, relative_l1
from small_dit import options, sample
from test_adapting import plain_model


def test_it_is_the_least_squares_fit_of_the_recorded_changes(model):
    inputs, outputs = [], []
    block = model.transformer_blocks[0]
    handles = [
        block.attn1.register_forward_pre_hook(lambda module, args: inputs.append(args[0])),
        model.register_forward_hook(lambda module, args, out: outputs.append(out.sample)),
    ]
    untouched = sample(model, samples=1)
    for handle in handles:
        handle.remove()
    found = fit_polynomial(model, lambda: sample(model, samples=1), 2, options())
    changes = [
        [relative_l1(b, a) for a, b in zip(x, x[1:], strict=False)] for x in (inputs, outputs)
    ]
    assert np.array(found.points) == pytest.approx(np.array(changes).T, rel=1e-4)
    x, y = np.array(changes, dtype=np.float64)
    design = np.stack([x**2, x, np.ones_like(x)], 1)
    expected, residual, *_ = np.linalg.lstsq(design, y, rcond=None)
    assert np.polyval(found.coefficients, x) == pytest.approx(design @ expected, rel=1e-3)
    assert found.explained == pytest.approx(1 - residual[0] / ((y - y.mean()) ** 2).sum(), abs=1e-2)
    assert torch.equal(sample(model, samples=1), untouched)


def test_every_sample_of_a_batch_is_a_run_of_its_own(model):
    found = fit_polynomial(model, lambda: sample(model, samples=3), 1, options())
    assert len(found.points) == 3 * 11


def test_a_pipeline_is_fitted_as_its_transformer():
    pipe = make_pipeline()
    found = fit_polynomial(pipe, lambda: draw(pipe, steps=8), 2)
    timesteps = pipe.scheduler.timesteps
    alone = {"timesteps": timesteps}
    assert len(found.points) == 7
    assert fit_polynomial(pipe.transformer, lambda: draw(pipe, steps=8), 2, alone) == found


def test_a_run_that_is_too_short_is_refused(model):
    with pytest.raises(ValueError, match="more than 4 changes for degree=4, got 2"):
        fit_polynomial(model, lambda: sample(model, steps=3, samples=1), 4, options(3))
    with pytest.raises(ValueError, match="no cache"):
        cache_of(model)


def test_outputs_in_half_precision_do_not_overflow():
    """Their sum is beyond 65,504."""
    recording, before = Recording(), torch.ones(2, 400_000).half()
    run = recording.start(None)
    for change, output in ((None, before), (0.1, before * 1.5)):
        recording.show(run, change)
        recording.see_output(None, None, output)
    assert recording.points == [(0.1, pytest.approx(0.5, rel=1e-3))]


def test_what_is_no_number_is_refused(model):
    model.proj_out_2.bias.data[0] = torch.nan
    with pytest.raises(ValueError, match="run must show changes that are finite, got NaN or"):
        fit_polynomial(model, lambda: sample(model, samples=1), 2, options())


def test_what_is_fitted_is_what_a_schedule_takes(model):
    found = fit_polynomial(model, lambda: sample(model), 2, options())
    schedule = TeaCacheSchedule(threshold=0.1, polynomial=found.coefficients)
    config = ClusCaConfig(schedule=schedule, forecaster=ReuseForecaster(), corrector=NoCorrection())
    with cache(model, config, **options()):
        sample(model, samples=1)
        kinds = cache_of(model).leader.kinds
    plain = PlainTeaCache(model, 12, 0.1, found.coefficients)
    sample(plain_model(plain, model), samples=1)
    assert kinds == plain.kinds and 2 < kinds.count("full") < 12


def test_the_command_writes_a_configuration(tmp_path):
    """Of the embedded model, in few steps."""
    output = tmp_path / "teacache.json"
    arguments = ["calibrate", "digits", "--polynomial", "--steps", "6", "--seeds", "2"]
    done = CliRunner().invoke(app, [*arguments, "--output", str(output)])
    assert done.exit_code == 0, done.output
    schedule = ClusCaConfig.load(output).schedule
    said = json.loads(output.with_suffix(".polynomial.json").read_text())
    assert list(schedule.polynomial) == said["coefficients"] and len(said["coefficients"]) == 5
    assert len(said["points"]) == 2 * 5  # two samples, both rows of each together
    assert schedule.largest == max(change for change, _ in said["points"])


def test_the_command_refuses_a_function_that_shows_pictures_alone(tmp_path, monkeypatch):
    (tmp_path / "only_pictures.py").write_text(
        "def make():\n    return lambda config, seeds: None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    output = str(tmp_path / "a.json")
    arguments = ["calibrate", "only_pictures:make", "--polynomial", "--output", output]
    done = CliRunner().invoke(app, arguments)
    words = " ".join(done.output.replace("│", " ").split())  # out of the box it is printed in
    assert done.exit_code == 2 and "a function that shows its steps by draw.pipeline" in words
