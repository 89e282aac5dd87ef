"""What ``clusca calibrate`` tries of TeaCache: the polynomials of the model, and no other's."""

import json
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch

from clusca_ext import ClusCaConfig, TeaCacheSchedule
from clusca_ext.lab.candidates import OWN, grid, names_for
from clusca_ext.lab.journal import read
from clusca_ext.lab.methods import METHODS
from clusca_ext.lab.models import open_model
from clusca_ext.lab.own import own_methods
from clusca_ext.lab.parts import unordered
from clusca_ext.lab.polynomial import TeaCacheOf
from clusca_ext.learning.polynomial import fit_polynomial
from clusca_ext.schedule import TEACACHE_CHECKPOINTS, TEACACHE_POLYNOMIALS, Step
from command_line import clusca
from flux_function import SHORT, STEPS, written
from flux_pipelines import draw, make_pipeline
from lab_cases import SyntheticModel, small_folder
from test_calibrate import begin

NAME = "FluxTransformer2DModel"
KEPT = ("polynomial", "timestep")


@pytest.fixture
def module(tmp_path, monkeypatch):
    return written(tmp_path, monkeypatch)


def test_other_models_entries_are_not_tried():
    model = SyntheticModel()
    others = {"teacache-digits", "teacache-pictures", "placed-digits", "placed-pictures"}
    assert set(METHODS) - set(names_for(model, {})) == others
    model.name = "digits"
    assert others - set(names_for(model, {})) == {"teacache-pictures", "placed-pictures"}
    own = {name: unordered(TeaCacheOf(TeaCacheSchedule(), (0.1,))) for name in OWN}
    assert names_for(model, own)[-len(OWN) :] == list(OWN)
    asked = grid(["teacache-pictures", "teacache"], [2, 4], [1], own)  # by name
    assert [each.name.split(",")[0] for each in asked] == ["teacache-pictures"] * 2 + [
        "teacache"
    ] * 2


@pytest.mark.parametrize("interval", [2, 3, 5, 8])
@pytest.mark.parametrize("polynomial", [(1.0, 0.0), (3.0, -0.2, 0.05)])
def test_thresholds_are_those_of_an_interval(interval, polynomial):
    torch.manual_seed(0)
    changes = (0.1 + 0.02 * torch.rand(400)).tolist()
    published = TeaCacheSchedule(polynomial=polynomial)
    decide = TeaCacheOf(published, tuple(changes))(interval).start(None)
    full, last = 0, 0
    for index, change in enumerate(changes, 1):
        if decide(Step(index, last_full=last)) or decide.see(Step(index), change):
            full, last = full + 1, index
    assert full == pytest.approx(400 / interval, rel=0.05)


def test_the_command_fits_to_a_pipeline(module, tmp_path):
    said = clusca("calibrate", f"{module}:make", "--polynomial", "--seeds", "2", "--batch", "1")
    assert said.code == 0 and "changes of 2 samples" in said.words
    pipe = make_pipeline()

    def run():
        for seed in range(2):
            draw(pipe, steps=STEPS, generator=torch.Generator().manual_seed(seed))

    expected = fit_polynomial(pipe, run)
    schedule = ClusCaConfig.load("clusca.json").schedule
    assert schedule.polynomial == expected.coefficients
    changes = [change for change, _ in expected.points]
    threshold = 3.5 * np.polyval(expected.coefficients, changes).mean()
    assert schedule.threshold == pytest.approx(threshold)
    assert f"Threshold, for about one full step in 4: {threshold:.4g}" in said.words
    kept = json.loads((tmp_path / "clusca.polynomial.json").read_text())
    assert len(kept["points"]) == 2 * (STEPS - 1)


def tried(path):
    """Schedules of TeaCache, by the methods' names."""
    configs = {row["name"].split(",")[0]: ClusCaConfig.from_dict(row["config"]) for row in path}
    kinds = {name: config.schedule for name, config in configs.items()}
    return {n: each for n, each in kinds.items() if isinstance(each, TeaCacheSchedule)}


def test_a_pipeline_is_tried_with_its_own(module, tmp_path, monkeypatch):
    said = clusca("calibrate", f"{module}:make", *SHORT)
    assert said.code == 0, said.words
    found = tried(read(tmp_path / "clusca.trials.jsonl"))
    kept = json.loads((tmp_path / "clusca.polynomial.json").read_text())
    assert set(found) == {"teacache-own", "teacache-fitted"}
    assert found["teacache-own"].polynomial == TEACACHE_POLYNOMIALS[NAME]
    assert list(found["teacache-fitted"].polynomial) == kept["coefficients"]
    assert all(not row["error"] for row in read(tmp_path / "clusca.trials.jsonl"))

    def fitting(*_):
        raise AssertionError("it was fitted")

    monkeypatch.setattr("clusca_ext.lab.polynomial._fit", fitting)
    rows = (tmp_path / "clusca.trials.jsonl").read_text()
    said = clusca("calibrate", f"{module}:make", *SHORT)
    assert said.code == 0 and "cannot be tried" not in said.words
    assert (tmp_path / "clusca.trials.jsonl").read_text() == rows
    (tmp_path / "clusca.polynomial.json").unlink()
    said = clusca("calibrate", f"{module}:make", *SHORT)
    assert said.code == 0
    assert "teacache-fitted cannot be tried: AssertionError: it was fitted" in said.words
    said = clusca("calibrate", f"{module}:make", *SHORT, "--limit", "0")
    assert said.code == 1 and "The limit was reached" in said.words


def test_one_that_shows_pictures_alone_is_tried_without(module, tmp_path):
    assert clusca("calibrate", f"{module}:hidden", *SHORT).code == 0
    assert not tried(read(tmp_path / "clusca.trials.jsonl"))
    said = clusca("calibrate", f"{module}:hidden", *SHORT, "--methods", "teacache-own")
    assert said.code == 1 and "shows its steps by draw.pipeline" in said.words


def test_a_folder_is_tried_with_what_is_fitted_to_it(module, tmp_path):
    asked = [small_folder(tmp_path / "model"), *SHORT, "--tries", "0", "--steps", "6"]
    assert clusca("calibrate", *asked).code in (0, 1)  # as its random weights draw
    found = tried(read(tmp_path / "clusca.trials.jsonl"))
    kept = json.loads((tmp_path / "clusca.polynomial.json").read_text())
    assert set(found) == {"teacache-fitted"} and kept["steps"] == 6
    assert list(found["teacache-fitted"].polynomial) == kept["coefficients"]


WAN = """
    import torch
    from test_branches import draw as one, wan_pipeline

    def make():
        pipeline = wan_pipeline()

        def draw(config, seeds):
            return torch.stack([one(pipeline, steps=8)[0] for _ in seeds])

        draw.pipeline, draw.steps = pipeline, 8
        return draw
    """


def test_a_checkpoint_has_the_schedule_published_for_it(module, tmp_path, monkeypatch):
    """Its thresholds are of what that looks at, the timestep's embedding."""
    checkpoint = "clusca_ext.lab.polynomial.checkpoint_of"
    monkeypatch.setattr(checkpoint, lambda parts: "Wan2.1-T2V-14B")  # but far smaller
    (tmp_path / f"{module}_wan.py").write_text(textwrap.dedent(WAN))
    trials = begin(tmp_path, open_model(f"{module}_wan:make"))
    beside = (range(2), tmp_path / "c.json")
    with pytest.raises(ValueError, match="teacache-own cannot be tried: .* must make more than 0"):
        own_methods(trials, ["teacache-own"], *beside, print)
    said = []
    assert list(own_methods(trials, None, *beside, said.append))[0] == "teacache-fitted"
    assert said[0].startswith("teacache-own cannot be tried: ValueError: the polynomial must make")
    published = TeaCacheSchedule(polynomial=(3.0, 0.1), change_of="embedded timestep", warmup=2)
    monkeypatch.setitem(TEACACHE_CHECKPOINTS, "Wan2.1-T2V-14B", published)
    own = own_methods(trials, list(OWN[:2]), *beside, print)
    kept = {kind: json.loads((tmp_path / f"c.{kind}.json").read_text()) for kind in KEPT}
    assert len(kept["polynomial"]["points"]) == 2 * len(kept["timestep"]["points"])  # one seed
    changes = [change for change, _ in kept["timestep"]["points"]]
    schedules = [own["teacache-own"](interval, 0).schedule for interval in (2, 4)]
    for schedule, times in zip(schedules, (1.5, 3.5), strict=True):
        a_step = np.polyval(published.polynomial, changes).mean()
        assert schedule.threshold == pytest.approx(times * a_step)
        assert schedule == replace(published, threshold=schedule.threshold)
    fitted = own["teacache-fitted"](4, 0).schedule
    assert list(fitted.polynomial) == kept["polynomial"]["coefficients"]
    assert fitted.change_of == "modulated input"


def test_what_cannot_be(module, monkeypatch):
    with pytest.raises(ValueError, match=r"pipeline of draw: model must be a torch.nn.Module or"):
        open_model(f"{module}:wrong")
    monkeypatch.delitem(TEACACHE_POLYNOMIALS, NAME)
    said = clusca("calibrate", f"{module}:make", *SHORT, "--methods", "teacache-own")
    assert said.code == 1 and f"got {NAME}: teacache-fitted is fitted to it" in said.words
