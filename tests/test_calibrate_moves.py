"""After small changes ``clusca calibrate`` moves the full steps of the best configuration."""

import json
import textwrap
from dataclasses import replace

import numpy as np
import pytest

from clusca_ext import (
    ClusCaConfig,
    EvenSchedule,
    ExplicitSchedule,
    IntervalSchedule,
    PlacedSchedule,
    PyramidSchedule,
    TeaCacheSchedule,
)
from clusca_ext.lab import verdict
from clusca_ext.lab.calibrate import HELD_OUT, Effort, search
from clusca_ext.lab.journal import read
from clusca_ext.lab.methods import with_steps
from clusca_ext.lab.moving import fixed_steps, unmoved_for
from clusca_ext.lab.target import Target
from clusca_ext.lab.trials import OutOfTime
from command_line import clusca
from lab_cases import STEPS, PlacingModel, SyntheticModel, full_steps, out_of_place
from test_calibrate import METHODS, begin

EFFORT = Effort(rungs=(2, 4), held_out=4, tries=60)
SPEED = Target(speedup=4)


def find(folder, target, tries=60, model=None, **options):
    trials = begin(folder, model or PlacingModel(), **options)
    effort = replace(EFFORT, tries=tries)
    found = search(trials, target, effort, METHODS)
    return found, verdict.report(found, target, trials, effort)


def test_as_many_full_steps_where_they_are_better(tmp_path):
    found, said = find(tmp_path / "moved", SPEED)
    before = find(tmp_path / "left", SPEED, tries=0)[0].best
    config, start = found.best.candidate.config, before.candidate.config
    assert isinstance(config.schedule, ExplicitSchedule)
    assert not isinstance(start.schedule, ExplicitSchedule)
    assert replace(config, schedule=start.schedule) == start
    assert full_steps(config) == full_steps(start)
    assert out_of_place(config) < out_of_place(start) - 1
    assert found.unmoved_held_out.candidate.config == start
    ours, theirs = (
        np.array(trial.row["psnr_db"]) for trial in (found.best_held_out, found.unmoved_held_out)
    )
    gap = (ours - theirs).mean()
    assert gap == pytest.approx(out_of_place(start) - out_of_place(config), abs=0.05)
    assert said["over_unmoved_db"][0] == pytest.approx(gap, abs=1e-4)
    assert said["unmoved"]["config"] == start.to_dict()
    words = " ".join(said["words"])
    assert f"Its full steps were moved, from {found.unmoved_held_out.candidate.name}" in words
    assert f"its PSNR differs by {gap:+.2f} ± " in words and "by time is 1.00x" in words


def test_what_is_gained_is_spent_where_a_quality_is_asked_for(tmp_path):
    target = Target(psnr=40)
    found, said = find(tmp_path / "moved", target)
    before = find(tmp_path / "left", target, tries=0)[0].best
    assert full_steps(found.best.candidate.config) < full_steps(before.candidate.config)
    assert found.best.psnr >= 40 and found.best.speed("time") > before.speed("time")
    assert "full steps were moved" in " ".join(said["words"])


def test_placements_are_tried_on_the_searchs_seeds(tmp_path):
    model = PlacingModel()
    found, _ = find(tmp_path, SPEED, model=model)
    even = {with_steps(count).schedule.full_steps(STEPS) for count in range(2, STEPS)}
    drawn = [config.schedule for config, _ in model.drawn if config]
    placed = {each for each in drawn if isinstance(each, ExplicitSchedule)}
    assert 40 <= len({each.steps for each in placed} - even) <= 60
    held_out = {
        str(replace(config, cuda_graph=False))  # as operations are counted
        for config, seeds in model.drawn
        if config and max(seeds) >= HELD_OUT
    }
    assert len(held_out) == 3  # the chosen one, what it was moved from, the baseline
    assert str(replace(found.best.candidate.config, cuda_graph=False)) in held_out


def test_it_goes_on_where_it_was_interrupted(tmp_path):
    whole, _ = find(tmp_path / "whole", SPEED)
    rows = read(tmp_path / "whole/trials.jsonl")
    first = next(i for i, row in enumerate(rows) if "Explicit" in row["name"])
    ticks = iter(range(1000))
    with pytest.raises(OutOfTime):
        find(tmp_path / "parts", SPEED, seconds=first + 5, clock=lambda: next(ticks))
    assert first < len(read(tmp_path / "parts/trials.jsonl")) < len(rows)
    found, _ = find(tmp_path / "parts", SPEED)
    assert found == whole and read(tmp_path / "parts/trials.jsonl") == rows


def test_what_gains_nothing_is_left(tmp_path):
    found, said = find(tmp_path, SPEED, tries=9, model=SyntheticModel())
    assert not isinstance(found.best.candidate.config.schedule, ExplicitSchedule)
    assert found.unmoved_held_out is None and said["over_unmoved_db"] is None
    words = " ".join(said["words"])
    assert "Moving its full steps, 9 tries, gained nothing on the search's seeds." in words
    _, said = find(tmp_path, SPEED, tries=0)
    assert "were not moved: no tries were asked for" in " ".join(said["words"])


@pytest.mark.parametrize(
    "schedule, steps, why",
    [
        (IntervalSchedule(interval=4, warmup=1), (0, 4, 8), ""),
        (EvenSchedule(interval=4, warmup=1), (0, 4, 9), ""),
        (PlacedSchedule(fractions=(0, 0.2, 1)), (0, 2, 9), ""),
        (ExplicitSchedule(steps=(0, 7)), (0, 7), ""),
        (TeaCacheSchedule(), None, "its schedule decides by what steps show"),
        (PyramidSchedule(), None, "its steps compute single modules"),
    ],
)
def test_full_steps_that_are_fixed(schedule, steps, why):
    config = ClusCaConfig(schedule=schedule)
    assert fixed_steps(config, 10) == steps
    assert unmoved_for(config, 10) == why
    assert unmoved_for(config, None).startswith("draw.steps does not say")


def test_nothing_is_left_to_move():
    every = ClusCaConfig(schedule=IntervalSchedule(interval=1))
    assert unmoved_for(every, 10) == "none of them can be"
    assert unmoved_for(ClusCaConfig(schedule=ExplicitSchedule(steps=(0,))), 10)


def test_tries_must_be_a_number():
    with pytest.raises(ValueError, match="tries must be an integer of at least 0, got -1"):
        Effort(tries=-1)


# A function of the user's whose pictures are the better the earlier the full steps lie.
FUNCTION = """
    import torch
    def make():
        def draw(config, seeds):
            late = 0.0
            if config is not None:
                decide = config.schedule.start(12)
                late = sum(i for i in range(12) if decide.is_full(i)) / 1000
            return torch.stack([torch.full((1, 4, 4), seed % 3 / 9 + late) for seed in seeds])
        draw.steps = 12
        return draw
    def silent():
        draw = make()
        del draw.steps
        return draw
    def wrong():
        draw = make()
        draw.steps = "many"
        return draw
    """
ASKED = ["--psnr", "90", "--seeds", "1,2", "--held-out", "2", "--rounds", "0", "--busy"]
ASKED += ["--methods", "taylor-even"]


def test_the_command(tmp_path, monkeypatch):
    (tmp_path / "mine_moving.py").write_text(textwrap.dedent(FUNCTION))
    monkeypatch.chdir(tmp_path)
    said = clusca("calibrate", "mine_moving:make", *ASKED, "--tries", "30")
    assert said.code == 1 and "Its full steps were moved, from taylor-even" in said.words
    moved = ClusCaConfig.load("clusca.json").schedule
    assert isinstance(moved, ExplicitSchedule)
    report = json.loads((tmp_path / "clusca.report.json").read_text())
    assert report["over_unmoved_db"][0] > 0
    started = ClusCaConfig.from_dict(report["unmoved"]["config"])
    assert sum(moved.steps) < sum(fixed_steps(started, 12))
    said = clusca("calibrate", "mine_moving:make", *ASKED, "--tries", "0")
    assert isinstance(ClusCaConfig.load("clusca.json").schedule, EvenSchedule)
    said = clusca("calibrate", "mine_moving:silent", *ASKED)
    assert "were not moved: draw.steps does not say how many steps a run has" in said.words
    said = clusca("calibrate", "mine_moving:wrong", *ASKED)
    assert said.code == 2 and "steps of draw must be an integer of at least 1" in said.words
