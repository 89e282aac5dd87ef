"""What ``clusca calibrate`` tries of TeaCache: the polynomials of the model, and no other's."""

import json

import pytest
import torch

from clusca_ext import ClusCaConfig, TeaCacheSchedule
from clusca_ext.lab.candidates import OWN, grid, names_for
from clusca_ext.lab.journal import read
from clusca_ext.lab.methods import METHODS
from clusca_ext.lab.models import open_model
from clusca_ext.lab.parts import unordered
from clusca_ext.lab.polynomial import TeaCacheOf
from clusca_ext.learning.polynomial import fit_polynomial
from clusca_ext.schedule import TEACACHE_POLYNOMIALS, Step
from command_line import clusca
from flux_function import SHORT, STEPS, written
from flux_pipelines import draw, make_pipeline
from lab_cases import SyntheticModel, small_folder

NAME = "FluxTransformer2DModel"


@pytest.fixture
def module(tmp_path, monkeypatch):
    return written(tmp_path, monkeypatch)


def test_other_models_entries_are_not_tried():
    model = SyntheticModel()
    others = {"teacache-digits", "teacache-pictures", "placed-digits", "placed-pictures"}
    assert set(METHODS) - set(names_for(model, {})) == others
    model.name = "digits"
    assert others - set(names_for(model, {})) == {"teacache-pictures", "placed-pictures"}
    own = {name: unordered(TeaCacheOf((1.0, 0.0), (0.1,))) for name in OWN}
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
    decide = TeaCacheOf(polynomial, tuple(changes))(interval).start(None)
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
    assert ClusCaConfig.load("clusca.json").schedule.polynomial == expected.coefficients
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
    assert clusca("calibrate", f"{module}:make", *SHORT).code == 0
    assert (tmp_path / "clusca.trials.jsonl").read_text() == rows
    (tmp_path / "clusca.polynomial.json").unlink()
    said = clusca("calibrate", f"{module}:make", *SHORT)
    assert said.code == 0
    assert "polynomial could not be measured: AssertionError: it was fitted" in said.words
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


def test_what_cannot_be(module, monkeypatch):
    with pytest.raises(ValueError, match=r"pipeline of draw: model must be a torch.nn.Module or"):
        open_model(f"{module}:wrong")
    monkeypatch.setattr("clusca_ext.lab.polynomial.TEACACHE_POLYNOMIALS", {})
    said = clusca("calibrate", f"{module}:make", *SHORT, "--methods", "teacache-own")
    assert said.code == 1 and f"got {NAME}: teacache-fitted is fitted to it" in said.words
