"""clusca calibrate: it finds what is known to be best, goes on where it stopped, and says so."""

import json
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from clusca_ext import ClusCaConfig, EvenSchedule, HermiteForecaster, NoCorrection
from clusca_ext.cli import app
from clusca_ext.lab import calibrate, verdict
from clusca_ext.lab.calibrate import HELD_OUT, Effort, search
from clusca_ext.lab.full import FullSampler
from clusca_ext.lab.journal import Journal, read
from clusca_ext.lab.models import open_model
from clusca_ext.lab.refine import neighbours
from clusca_ext.lab.target import Target
from clusca_ext.lab.trials import Candidate, OutOfTime, Trials
from lab_cases import (
    ORIGIN,
    SyntheticModel,
    expected_psnr,
    expected_speedup,
    full_steps,
    small_folder,
)

EFFORT = Effort(rungs=(2, 4), held_out=4)
METHODS = ("taylor-even", "reuse", "taylor", "hermite-even", "clusca-even")


def begin(folder, model=None, **options):
    model = model or SyntheticModel()
    journal = Journal(folder / "trials.jsonl", ORIGIN)
    return Trials(model, journal, FullSampler(model, folder / "full", ORIGIN), 4, **options)


def find(folder, target, model=None, **options):
    trials = begin(folder, model, **options)
    return search(trials, target, EFFORT, METHODS), trials


def best_quality(full):
    """The best that any configuration can do with so many full steps, by the objective itself."""
    best = ClusCaConfig(
        schedule=EvenSchedule(interval=4, warmup=1),
        forecaster=HermiteForecaster(order=2, sigma=0.5),
        corrector=NoCorrection(),
    )
    steps = full_steps(best)
    return expected_psnr(best) + 1.2 * (full - steps)


@pytest.mark.parametrize("speedup", [2.5, 4.0, 6.0])
def test_the_best_quality_at_a_speed(tmp_path, speedup):
    target = Target(speedup=speedup)
    found, _ = find(tmp_path, target)
    config = found.best.candidate.config
    assert config.forecaster == HermiteForecaster(order=2, sigma=0.5)
    assert not config.corrector.computes
    full = full_steps(config)
    assert expected_speedup(config) >= speedup and target.meets(found.best_held_out)
    one_more = 40 / (full + 1 + 0.02 * (40 - full - 1))
    assert one_more < speedup  # no full step can be spent on quality
    assert expected_psnr(config) == pytest.approx(best_quality(full))


@pytest.mark.parametrize("psnr", [35.0, 45.0])
def test_the_highest_speed_at_a_quality(tmp_path, psnr):
    target = Target(psnr=psnr)
    found, _ = find(tmp_path, target)
    full = full_steps(found.best.candidate.config)
    own = found.best.psnr - expected_psnr(found.best.candidate.config)  # of these seeds
    least = psnr + found.best.psnr_error  # the best of many that just meet it is a lucky one
    assert best_quality(full - 1) + own < least <= found.best.psnr  # none with a full step less
    assert found.best.speed("time") > found.baseline.speed("time")


def test_held_out_seeds_are_not_searched(tmp_path):
    model = SyntheticModel()
    found, trials = find(tmp_path, Target(speedup=4), model)
    chosen = [found.best.candidate.config, found.baseline.candidate.config]
    allowed = [None, *chosen, *(replace(each, cuda_graph=False) for each in chosen)]  # counted
    held_out = [config for config, seeds in model.drawn if max(seeds) >= HELD_OUT]
    assert held_out and all(config in allowed for config in held_out)
    assert found.best_held_out.row["seeds"] == [HELD_OUT, 4]
    assert trials.count == len({json.dumps([r["config"], r["seeds"]]) for r in trials.journal.rows})


def test_an_interrupted_search_goes_on_and_ends_the_same(tmp_path):
    target = Target(speedup=4)
    whole, _ = find(tmp_path / "whole", target)
    ticks = iter(range(1000))
    with pytest.raises(OutOfTime):
        find(tmp_path / "parts", target, seconds=20, clock=lambda: next(ticks))
    tried = len(read(tmp_path / "parts/trials.jsonl"))
    assert 0 < tried < len(read(tmp_path / "whole/trials.jsonl"))
    model = SyntheticModel()
    found, _ = find(tmp_path / "parts", target, model)
    assert found.best.candidate == whole.best.candidate
    assert found.best_held_out.row == whole.best_held_out.row
    assert read(tmp_path / "parts/trials.jsonl") == read(tmp_path / "whole/trials.jsonl")
    again = SyntheticModel()
    assert find(tmp_path / "parts", target, again)[0].best.row == whole.best.row
    assert not again.drawn


def test_what_it_says_is_what_was_measured(tmp_path):
    target = Target(speedup=4)
    found, trials = find(tmp_path, target)
    said = verdict.report(found, target, trials, EFFORT)
    json.dumps(said, allow_nan=False)
    ours, theirs = (
        np.array(trial.row["psnr_db"]) for trial in (found.best_held_out, found.baseline_held_out)
    )
    gap = (ours - theirs).mean()
    assert said["over_baseline_db"][0] == pytest.approx(gap, abs=1e-4)
    words = " ".join(said["words"])
    assert f"PSNR {ours.mean():.2f} ± {ours.std(ddof=1) / 2:.2f} dB" in words
    assert f"{gap:+.2f} ± " in words and "beyond two standard errors" in words
    assert "Operations could not be counted." in words
    assert "Feature distance: not measured" in words
    assert said["met_on_held_out_seeds"] and ClusCaConfig.from_dict(said["chosen"]["config"])


def test_a_target_out_of_reach_is_said_so(tmp_path):
    target = Target(psnr=90)
    found, trials = find(tmp_path, target)
    said = verdict.report(found, target, trials, EFFORT)
    assert not said["met_on_held_out_seeds"] and not said["met_in_search"]
    assert "Nothing that was tried on as many seeds meets the target" in " ".join(said["words"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "target must be one of speedup and psnr, got speedup=None, psnr=None"),
        ({"speedup": 4, "psnr": 30}, "must be one of speedup and psnr, got speedup=4, psnr=30"),
        ({"speedup": 1}, "speedup must be finite and above 1, got 1"),
        ({"psnr": float("inf")}, "psnr must be finite and above 0, got inf"),
        ({"psnr": "high"}, "psnr must be a number, got 'high'"),
        ({"psnr": 30, "cost": "money"}, r"cost must be one of \['time', 'operations'\], got 'mon"),
    ],
)
def test_a_target_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        Target(**arguments)


def test_rounds_must_ascend():
    with pytest.raises(ValueError, match=r"rungs must ascend, one at least, got \[4, 4\]"):
        Effort(rungs=(4, 4))


def test_neighbours_change_one_part():
    start = ClusCaConfig()
    around = neighbours(Candidate("default", start))
    assert len({each.name for each in around}) == len(around) >= 10
    for each in around:
        changed = [
            n
            for n in ("schedule", "forecaster", "corrector", "storage")
            if getattr(each.config, n) != getattr(start, n)
        ]
        assert len(changed) == 1
    assert replace(start, schedule=EvenSchedule(tail=1)) in [each.config for each in around]


# ---- the command


def command(*arguments):
    result = CliRunner().invoke(app, ["calibrate", *arguments])
    return result, " ".join(result.output.replace("│", " ").split())


FUNCTION = """
    import torch
    def make():
        def draw(config, seeds):
            order = 0 if config is None else 3 - config.forecaster.order
            return torch.stack([torch.full((1, 4, 4), seed % 3 / 9 + order / 50) for seed in seeds])
        return draw
    def wrong():
        return lambda config, seeds: None
    def fails():
        raise ImportError("no sentencepiece")
    """


def test_a_function_of_the_users(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(textwrap.dedent(FUNCTION))
    monkeypatch.chdir(tmp_path)
    arguments = ["mine:make", "--psnr", "90", "--seeds", "1,2", "--held-out", "2", "--busy"]
    result, said = command(*arguments, "--methods", "taylor-even,reuse", "--output", "fast.json")
    assert result.exit_code == 0, result.output
    assert ClusCaConfig.load("fast.json").forecaster.order == 3
    report = json.loads((tmp_path / "fast.report.json").read_text())
    assert report["words"][0] in said and "the function's own steps" in said
    assert open_model("mine:make").draw(None, [1]).images.shape == (1, 1, 4, 4)
    result, said = command("mine:wrong", "--psnr", "9", "--output", "wrong.json")
    assert result.exit_code == 1 and "must return a tensor of" in said
    with pytest.raises(ImportError, match="no sentencepiece"):
        open_model("mine:fails")


def test_a_folder_of_a_model(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "INTERVALS", (2, 3))
    output = tmp_path / "fast.json"
    arguments = [small_folder(tmp_path / "model"), "--speedup", "1.5", "--cost", "operations"]
    arguments += ["--steps", "5", "--rounds", "1"]
    arguments += ["--seeds", "1,2", "--held-out", "2", "--methods", "reuse-even"]
    result, said = command(*arguments, "--output", str(output), "--limit", "0")
    assert result.exit_code == 1 and "The limit was reached" in said and not output.exists()
    result, said = command(*arguments, "--output", str(output))
    assert result.exit_code == 0, result.output
    assert "x in operations" in said and "± " in said
    assert ClusCaConfig.load(output).schedule


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["digits"], "target must be one of speedup and psnr"),
        (["digits", "--speedup", "0.5"], "speedup must be finite and above 1, got 0.5"),
        (["digits", "--psnr", "30", "--seeds", "4,2"], "seeds must ascend"),
        (["digits", "--psnr", "30", "--methods", "best"], "methods must be some of"),
        (["digits", "--psnr", "30", "--methods", "smoothcache"], "got ['smoothcache']"),
        (["digits", "--psnr", "30", "--device", "cuda:77"], "cannot be used"),
        (["nothing", "--psnr", "30"], "a folder, or module:function, got 'nothing'"),
        (["no_module:make", "--psnr", "30"], "No module named 'no_module'"),
        (["digits", "--psnr", "30", "--output", "/nonexistent/folder/x.json"], "no folder"),
    ],
)
def test_the_command_refuses_bad_arguments_at_once(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result, said = command(*arguments)
    assert result.exit_code == 2
    assert message in said and not list(tmp_path.iterdir())


def test_help_has_an_example():
    result, said = command("--help")
    assert result.exit_code == 0 and "Example: clusca calibrate digits" in said
