"""What a search is told, draws with, and finds."""

import json

import pytest
import torch
from rich.progress import Progress

from clusca_ext import ClusCaConfig, NoCorrection, cache, summary
from clusca_ext.demo.judge import Estimate
from clusca_ext.search import (
    ModelDraw,
    PipelineDraw,
    Placement,
    SearchSettings,
    find_placement,
)
from lab_cases import SyntheticModel
from small_dit import options, sample
from test_pipeline import draw as draw_pipeline
from test_pipeline import make_pipeline

PLAIN = ClusCaConfig(corrector=NoCorrection())
SMALL = SearchSettings(num_steps=8, full_steps=4, config=PLAIN, training=(0, 1), held_out=(2, 3))


def placement(**more):
    values = {
        "steps": (0, 2, 3, 7),
        "gain": Estimate(2.0, 0.1),
        "held_out_gain": Estimate(1.5, 0.25),
        "held_out_psnr": Estimate(40.5, 0.5),
        "tries": 9,
        "settings": SMALL,
    }
    return Placement(**(values | more))


def draw_of(pipe, steps=8):
    def call(seeds):
        return torch.cat([draw_pipeline(pipe, (seed,), steps) for seed in seeds]) * 2 - 1

    return PipelineDraw(pipe, call, num_steps=8)


# ---- what is found


def test_a_placement_is_saved_and_loaded(tmp_path):
    path = tmp_path / "placement.json"
    placement().save(path)
    assert Placement.load(path) == placement()
    assert json.loads(path.read_text())["settings"]["config"]["corrector"] == {
        "type": "NoCorrection"
    }


def test_its_configuration_runs_on_a_model(model, tmp_path):
    placement().config().save(tmp_path / "config.json")
    config = ClusCaConfig.load(tmp_path / "config.json")
    assert config.schedule.steps == (0, 2, 3, 7) and config.corrector == NoCorrection()
    with cache(model, config, **options(8)):
        assert sample(model, steps=8).isfinite().all()
        done = summary(model)
    assert (done.full, done.cached) == (4, 4)
    assert placement().config(ClusCaConfig(seed=5)).seed == 5


def test_it_scales_to_runs_of_other_lengths():
    schedule = placement().schedule
    assert schedule.full_steps(8) == (0, 2, 3, 7)
    assert schedule.full_steps(15) == (0, 4, 6, 14)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"version": 9}, "version must be 1, got 9"),
        ({"steps": [0, 1]}, "steps must be 4, got 2"),
        ({"steps": [0, 1, 2, 8]}, "steps must lie below the run's 8"),
        ({"gain": 1}, "must be a mapping, not int"),
        ({"tries": -1}, "tries must be an integer"),
        ({"settings": {}}, "the settings of a search"),
        ({"more": 1}, "more"),
    ],
)
def test_a_wrong_file_is_refused(change, message, tmp_path):
    path = tmp_path / "placement.json"
    placement().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=f"placement.json must be a placement .*{message}"):
        Placement.load(path)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_what_is_no_placement_is_refused(text, tmp_path):
    path = tmp_path / "placement.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="placement.json must be a placement that was saved"):
        Placement.load(path)


# ---- what is asked


@pytest.mark.parametrize(
    "values, message",
    [
        ({"num_steps": 2}, "num_steps must be an integer of at least 3, got 2"),
        ({"full_steps": 1}, r"full_steps must be an integer in \[2, 7\], got 1"),
        ({"full_steps": 8}, r"full_steps must be an integer in \[2, 7\], got 8"),
        ({"config": None}, "config must be a ClusCaConfig, got None"),
        ({"training": (0,)}, r"training must be at least 2 different seeds, got \[0\]"),
        ({"held_out": (4, 4)}, r"held_out must be at least 2 different seeds, got \[4, 4\]"),
        ({"held_out": (1, 2)}, r"held_out must hold no seed of training, got \[1\] in both"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
        ({"objective": 3}, "objective must be a string, got 3"),
    ],
)
def test_settings_that_cannot_be(values, message):
    with pytest.raises(ValueError, match=message):
        SearchSettings(**(vars(SMALL) | values))


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda config, seeds: [1, 2], r"draw must give a tensor of \[2, ...\], got list"),
        (lambda config, seeds: torch.ones(3), r"tensor of \[2, ...\], got \[3\]"),
        (lambda config, seeds: torch.full((2, 1), torch.nan), "finite pictures where config is No"),
        (
            lambda config, seeds: torch.ones(2, 1 if config is None else 4),
            r"pictures of shape \[2, 1\] as the full sampler, got \[2, 4\]",
        ),
    ],
)
def test_a_draw_of_something_else(draw, message):
    with pytest.raises(ValueError, match=message):
        find_placement(draw, SMALL, tries=1)


def test_a_negative_number_of_tries():
    with pytest.raises(ValueError, match="tries must be an integer of at least 0, got -1"):
        find_placement(lambda config, seeds: torch.ones(2, 1), SMALL, tries=-1)


# ---- what draws


def test_a_search_on_a_pipeline():
    pipe = make_pipeline()
    untouched = draw_pipeline(pipe)
    with Progress(disable=True) as progress:
        found = find_placement(draw_of(pipe), SMALL, tries=3, progress=progress)
        assert progress.tasks[0].completed == 3
        assert "try 3 of 3, gain " in progress.tasks[0].description or (
            progress.tasks[0].description == "held-out seeds"
        )
    assert found.tries == 3 and len(set(found.steps)) == SMALL.full_steps
    assert torch.equal(draw_pipeline(pipe), untouched)  # no cache is left


def test_a_run_of_another_length_is_refused():
    with pytest.raises(ValueError, match="num_steps must be the run's, 9 calls of the model, got"):
        find_placement(draw_of(make_pipeline(), steps=9), SMALL, tries=1)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: PipelineDraw(None, None, 8), "call must be a function of seeds, got None"),
        (lambda: PipelineDraw(None, len, 0), "num_steps must be an integer of at least 1, got 0"),
        (lambda: ModelDraw(None, batch=0), "batch must be an integer of at least 1, got 0"),
    ],
)
def test_a_draw_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_model_is_drawn_in_batches():
    model = SyntheticModel()
    drawn = ModelDraw(model, batch=2)(PLAIN, (4, 5, 7))
    assert model.drawn == [(PLAIN, [4, 5]), (PLAIN, [7])]
    assert torch.equal(drawn, model.draw(PLAIN, (4, 5, 7)).images)
