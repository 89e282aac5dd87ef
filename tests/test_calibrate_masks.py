"""What ``clusca calibrate`` tries of SmoothCache: masks measured on the model; and a user's own."""

import json

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    EvenSchedule,
    MaskSchedule,
    NoCorrection,
    ReuseForecaster,
    TaylorForecaster,
)
from clusca_ext.demo.rows import WARMUP
from clusca_ext.lab.calibrate import Effort
from clusca_ext.lab.calibrate import _climb as climb
from clusca_ext.lab.candidates import MASKS, MASKS_TAYLOR, grid
from clusca_ext.lab.journal import read
from clusca_ext.lab.models import open_model
from clusca_ext.lab.own import own_methods
from clusca_ext.lab.own_masks import APART, MasksOf
from clusca_ext.lab.target import Target
from clusca_ext.lab.trials import Candidate
from clusca_ext.learning import ErrorCurves, calibrate
from command_line import clusca
from flux_function import SHORT, STEPS, written
from flux_pipelines import draw, make_pipeline
from lab_cases import small_folder
from test_calibrate import begin


@pytest.fixture
def module(tmp_path, monkeypatch):
    return written(tmp_path, monkeypatch)


def tried(folder):
    """Rows of masks."""
    rows = read(folder / "clusca.trials.jsonl")
    return [row for row in rows if row["config"]["schedule"]["type"] == "MaskSchedule"]


def curves_of_flux(seeds):
    """The user's pipeline, measured without the command."""
    pipe = make_pipeline()

    def sample(seed):
        return draw(pipe, steps=STEPS, generator=torch.Generator().manual_seed(seed))

    return calibrate(pipe.transformer, sample, STEPS, max_gap=STEPS - 1, seeds=range(seeds))


def test_a_pipeline_is_tried_with_masks_of_its_own(module, tmp_path, monkeypatch):
    said = clusca("calibrate", f"{module}:make", *SHORT)
    assert said.code == 0, said.words
    rows = tried(tmp_path)
    kept = json.loads((tmp_path / "clusca.curves.json").read_text())
    curves = curves_of_flux(seeds=1)
    assert kept["curves"] == {name: [list(r) for r in rows] for name, rows in curves.curves.items()}
    assert {row["name"].split(",")[0] for row in rows} == {MASKS, MASKS_TAYLOR}
    found = [ClusCaConfig.from_dict(row["config"]) for row in rows]
    assert {each.schedule for each in found} <= set(curves.schedules())
    assert all(row["error"] is None and row["operations"] > 1 for row in rows)

    def measured(*_):
        raise AssertionError("it was measured")

    monkeypatch.setattr("clusca_ext.lab.own_masks._measured", measured)
    said = clusca("calibrate", f"{module}:make", *SHORT)
    assert said.code == 0 and "cannot be tried" not in said.words
    assert tried(tmp_path) == rows
    kept["weights"] = "others"
    (tmp_path / "clusca.curves.json").write_text(json.dumps(kept))
    said = clusca("calibrate", f"{module}:make", *SHORT)
    assert said.code == 0
    why = "cannot be tried: AssertionError: it was measured"
    assert f"{MASKS} and {MASKS_TAYLOR} {why}" in said.words


def test_a_folders_model_is_measured_too(module, tmp_path):
    asked = [small_folder(tmp_path / "model"), *SHORT, "--steps", "6", "--methods", MASKS]
    assert clusca("calibrate", *asked).code in (0, 1)  # as its random weights draw
    assert {row["name"].split(",")[0] for row in tried(tmp_path)} == {MASKS}


@pytest.mark.parametrize(
    "function, said",
    [("hidden", "draw.pipeline and their number"), ("endless", "their number by draw.steps")],
)
def test_one_that_does_not_show_them_is_tried_without(module, tmp_path, function, said):
    trials, told = begin(tmp_path, open_model(f"{module}:{function}")), []
    rest = (range(1), tmp_path / "c", told.append)
    assert MASKS not in own_methods(trials, None, *rest) and told == []
    with pytest.raises(ValueError, match=said):
        own_methods(trials, [MASKS], *rest)


def test_two_transformers_are_refused(module, tmp_path):
    model = open_model(f"{module}:make")
    model.pipeline.transformer_2 = model.pipeline.transformer
    said = []
    assert MASKS not in own_methods(
        begin(tmp_path, model), None, range(1), tmp_path / "c", said.append
    )
    assert "must have one transformer, of whose modules masks are, got 2" in said[-1]
    with pytest.raises(ValueError, match=f"{MASKS} and .* cannot be tried: ValueError: model must"):
        own_methods(begin(tmp_path, model), [MASKS], range(1), tmp_path / "c", said.append)


def masks_of(num_steps=12):
    """Of a model whose kinds change by more and more from step to step."""
    changes = [0.01 * 1.2**step for step in range(num_steps)]

    def curves(times):
        return tuple(
            tuple(times * sum(changes[i : i + gap]) for i in range(num_steps - gap))
            for gap in range(1, num_steps)
        )

    of = {"attn-0": curves(1), "mlp-0": curves(2.5), "attn-1": curves(1), "mlp-1": curves(3)}
    measured = ErrorCurves(num_steps=num_steps, curves=of)
    return sorted(set(measured.schedules()), key=lambda masks: masks.removed)


@pytest.mark.parametrize("interval", [2, 3, 4])
def test_as_much_is_left_out_as_by_even_steps(interval):
    masks = masks_of()
    config = MasksOf(tuple(masks), lambda order: TaylorForecaster(order=order))(interval, 2)
    assert config.forecaster == TaylorForecaster(order=2) and not config.corrector.computes
    full = EvenSchedule(interval=interval, warmup=WARMUP).full_steps(12)
    share = 1 - len(full) / 12
    assert abs(config.schedule.removed - share) == min(abs(m.removed - share) for m in masks) < 0.06


def test_small_changes_leave_out_a_little_less_or_more():
    masks = tuple(masks_of())
    of = MasksOf(masks, lambda order: ReuseForecaster())
    first, second, last = (
        ClusCaConfig(schedule=masks[i], corrector=NoCorrection()) for i in (0, 1, -1)
    )
    assert [each.schedule for each in of.beside(first)] == [masks[1]]
    assert [each.schedule for each in of.beside(second)] == [masks[0], masks[2]]
    assert [each.schedule for each in of.beside(last)] == [masks[-2]]
    assert of.beside(second)[0] == first  # all else is as it was
    assert of.beside(ClusCaConfig()) == []


def test_masks_are_told_apart_and_no_two_candidates_are_the_same(tmp_path):
    model = open_model(small_folder(tmp_path / "model"), steps=10)
    own = own_methods(
        begin(tmp_path, model), [MASKS, MASKS_TAYLOR], range(1), tmp_path / "c", print
    )
    shares = [masks.removed for masks in own[MASKS].masks]
    assert len(shares) > 3 and shares[0] == 0
    assert all(b - a >= APART for a, b in zip(shares, shares[1:], strict=False))
    made = grid([MASKS, MASKS_TAYLOR], [2, 3, 20, 30], [1, 2], own)
    assert len(made) == len({str(each.config) for each in made})
    assert {each.config.forecaster for each in made} == {
        ReuseForecaster(),
        TaylorForecaster(order=1),
        TaylorForecaster(order=2),
    }


def test_small_changes_reach_a_target_between_intervals(tmp_path):
    model = open_model(small_folder(tmp_path / "model"), steps=12)
    trials = begin(tmp_path, model)
    own = own_methods(trials, [MASKS], range(1), tmp_path / "c", print)
    masks, at = own[MASKS].masks, len(own[MASKS].masks) // 2
    config = ClusCaConfig(
        schedule=masks[at], forecaster=ReuseForecaster(), corrector=NoCorrection()
    )
    start = Candidate("start", config)
    (first,) = trials.tried([start], range(1))
    target = Target(speedup=1.02 * first.speed("operations"), cost="operations")
    effort = Effort(rungs=(1, 2), held_out=2, tries=0, rounds=3)
    found, *_ = trials.tried(climb(trials, target, effort, start, own), range(2))
    assert target.meets(found) and not target.meets(first)
    assert masks.index(found.candidate.config.schedule) > at
    assert found.candidate.name.startswith("MaskSchedule(12 steps of 4 modules, ")


def test_a_users_own_configuration_competes(module, tmp_path):
    masks = curves_of_flux(seeds=1).leaving_out(0.4)
    config = ClusCaConfig(schedule=masks, corrector=NoCorrection(), storage="per_block")
    config.save(tmp_path / "learned.json")
    asked = [f"{module}:make", *SHORT, "--methods", "taylor-even", "--also", "learned.json"]
    said = clusca("calibrate", *asked)
    assert said.code == 0, said.words
    (row,) = {row["name"]: row for row in tried(tmp_path)}.values()
    assert row["name"] == "learned.json" and row["error"] is None
    assert isinstance(ClusCaConfig.from_dict(row["config"]).schedule, MaskSchedule)
    (tmp_path / "other.json").write_text("[]")
    said = clusca("calibrate", *asked[:-1], "learned.json,other.json")
    assert said.code == 2 and "other.json must hold a JSON object" in said.words
    said = clusca("calibrate", *asked[:-1], "missing.json")
    assert said.code != 0 and "missing.json" in said.words and "Traceback" not in said.words
