"""What a calibration compares with and chooses, and what it says of pictures it cannot judge."""

import math
import pathlib
import textwrap
import warnings
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from clusca_ext import ClusCaConfig, ExplicitSchedule, LeanStorage, PlacedSchedule
from clusca_ext.cli import app
from clusca_ext.lab import calibrate
from clusca_ext.lab.calibrate import Effort, search
from clusca_ext.lab.candidates import different, evenly_between, grid, placements
from clusca_ext.lab.comparison import Curve
from clusca_ext.lab.function_model import _device
from clusca_ext.lab.methods import BASELINE, PLACEMENTS
from clusca_ext.lab.models import open_model
from clusca_ext.lab.moving import better, unmoved_for
from clusca_ext.lab.refine import words_of
from clusca_ext.lab.sweep import INTERVALS, above, near
from clusca_ext.lab.target import Target
from clusca_ext.lab.trials import Candidate
from clusca_ext.writing import beside
from lab_cases import STEPS, SyntheticModel, full_steps
from test_calibrate import begin


def trial(psnr, psnr_error=0.0, speed=1.0, speed_error=0.0):
    return SimpleNamespace(
        psnr=psnr,
        psnr_error=psnr_error,
        speed=lambda cost: speed,
        speed_error=lambda cost: speed_error,
    )


def test_a_lucky_one_is_not_chosen():
    lucky, sure = trial(30.2, 0.5, speed=5), trial(30.8, 0.5, speed=4)
    for target in (Target(psnr=30), Target(psnr=30, cost="operations")):
        assert target.meets(lucky) and target.rank(lucky) > target.rank(sure)
        assert not target.meets(lucky, surely=True)
        assert target.rank(sure, surely=True) > target.rank(lucky, surely=True)
        assert better(target, lucky, sure, as_fast=False)
        assert not better(target, lucky, sure, as_fast=False, surely=True)
    lucky, sure = trial(31, speed=4.02, speed_error=0.05), trial(30, speed=4.3, speed_error=0.1)
    assert Target(speedup=4).rank(lucky) > Target(speedup=4).rank(sure)
    assert Target(speedup=4).rank(sure, surely=True) > Target(speedup=4).rank(lucky, surely=True)
    with pytest.raises(ValueError, match="psnr must be at most 120, equal pictures', got 121"):
        Target(psnr=121)


def test_where_nothing_meets_it_surely_what_meets_it_is_ranked_by_its_gain():
    target = Target(speedup=4)
    poor, good = trial(12, speed=4.03, speed_error=0.05), trial(25, speed=4.02, speed_error=0.05)
    near_it = trial(40, speed=3.9)
    ranked = sorted((poor, near_it, good), key=lambda each: target.rank(each, surely=True))
    assert ranked == [near_it, poor, good]


def swept_of(intervals, psnr=lambda interval: 40.0 - interval, speed=float):
    found = []
    for each in grid([BASELINE], intervals, [1]):
        interval = each.config.schedule.interval
        one = trial(psnr(interval), speed=speed(interval))
        one.candidate, one.row = each, {"config": each.config.to_dict()}
        found.append(one)
    return found


def test_intervals_of_as_many_full_steps_are_one():
    """Of 50 steps 7 and 8 have 8 full steps, 10 and 12 have 6: 7 lie between."""
    swept = swept_of(INTERVALS)
    for wanted in (7.0, 8.0):
        assert near(swept, Target(speedup=wanted), 50) == [6, 7, 8, 10]
    assert near(swept, Target(speedup=7.0), None) == [6, 7, 8]
    assert near([], Target(speedup=2), 50) == list(INTERVALS)
    beside = [each.candidate for each in swept_of([6, 7, 8, 10])]
    between, counts = evenly_between(beside, 50)
    assert 7 in counts and 7 in {len(each.config.schedule.steps) for each in between}
    assert all(isinstance(each.config.schedule, ExplicitSchedule) for each in between)


def test_what_is_slower_than_was_swept_is_beside_smaller_errors():
    swept, target = swept_of([2, 4]), Target(speedup=3)
    assert above(trial(40.0, speed=2.0), swept, target) == pytest.approx(2.0)
    assert above(trial(40.0, speed=3.0), swept, target) == pytest.approx(3.0)
    half = 38.0 + 10 * math.log10(2)  # from 2x to 1x an error falls to half at 1.5x
    assert above(trial(half, speed=1.5), swept, target) == pytest.approx(0.0)
    assert above(trial(120.0, speed=1.0), swept, target) == pytest.approx(0.0)
    assert above(trial(120.0, speed=0.9), swept, target) == pytest.approx(0.0)
    assert above(trial(30.0, speed=9.0), swept, target) == pytest.approx(-6.0)  # as at 4x


def test_a_configuration_competes_once():
    first = grid([BASELINE], [3, 4], [1])
    again = [Candidate("again", each.config) for each in first]
    assert different([*first, *again]) == first


def test_the_baseline_is_the_best_of_as_many_operations_or_fewer():
    """Where 12 full steps do better than 13 and 14."""
    curve = Curve([(10, [1.0, 3.0]), (12, [5.0, 5.0]), (13, [3.0, 5.0]), (14, [3.0, 3.0])])
    for at, expected, interpolated in (
        (14, [5.0, 5.0], False),  # of 12
        (13.5, [5.0, 5.0], False),
        (12, [5.0, 5.0], False),
        (11.5, [4.0, 4.5], True),
        (10, [1.0, 3.0], False),
    ):
        over = curve.under(at, [7.0, 7.5])
        wanted = torch.tensor([7.0, 7.5]) - torch.tensor(expected)
        assert over.value.mean == pytest.approx(wanted.mean().item())
        assert over.value.error == pytest.approx(wanted.std().item() / 2**0.5)
        assert over.interpolated == interpolated
    assert curve.under(9, [7.0, 7.5]) is None is curve.under(15, [7.0, 7.5])


def test_every_number_of_even_full_steps_is_tried():
    swept = grid([BASELINE], (4, 5, 6), [1])
    known = {full_steps(each.config) for each in swept}
    between, counts = evenly_between(swept, STEPS)
    assert list(counts) == list(range(min(known), max(known) + 1))
    assert {full_steps(each.config) for each in between} == set(counts) - known != set()
    assert evenly_between(swept, None) == ([], range(0)) == evenly_between([], STEPS)


def test_shipped_placements_are_tried_at_these_numbers():
    found = placements(None, range(1, 12))
    assert len(found) == len(PLACEMENTS) * 10  # one full step is no placement
    assert {full_steps(each.config) for each in found} == set(range(2, 12))
    assert all(isinstance(each.config.schedule, PlacedSchedule) for each in found)
    (one,) = placements(["taylor", "placed-digits"], [9])
    assert one.name == "placed-digits, 9 full steps"
    assert placements(["taylor"], [9]) == []


def test_a_baseline_between_intervals_is_found(tmp_path):
    """Of pictures that one number of even full steps draws best, which no interval has."""
    intervals = {full_steps(each.config) for each in grid([BASELINE], INTERVALS, [1])}
    best = 10
    assert best not in intervals and {9, 11} <= intervals

    class Uneven(SyntheticModel):
        def quality(self, config):
            return 60.0 if full_steps(config) == best else 30.0 + 0.1 * full_steps(config)

    effort = Effort(rungs=(2, 4), held_out=4, rounds=0, tries=0)
    found = search(begin(tmp_path, Uneven()), Target(speedup=3), effort, (BASELINE,))
    assert full_steps(found.baseline.candidate.config) == best
    assert found.best.candidate.config == found.baseline.candidate.config


def test_full_steps_of_two_transformers_are_not_moved(tmp_path, monkeypatch):
    config, why = ClusCaConfig(), "each of 2 transformers counts its own steps"
    assert unmoved_for(config, 40) == "" and unmoved_for(config, 40, transformers=2) == why
    two = SimpleNamespace(transformer=torch.nn.Linear(1, 1), transformer_2=torch.nn.Linear(1, 1))
    effort = Effort(rungs=(2, 4), held_out=4, rounds=0, tries=3)
    for shown, reason in ((two, why), (None, "")):
        monkeypatch.setattr(calibrate, "shown_by", lambda model, shown=shown: shown)
        found = search(
            begin(tmp_path / str(reason == ""), None), Target(speedup=3), effort, (BASELINE,)
        )
        assert found.unmoved_for == reason


def test_a_pipeline_says_where_it_runs():
    """Offloaded, its weights are elsewhere."""
    pipeline = SimpleNamespace(_execution_device=torch.device("meta"))
    assert _device(pipeline) == torch.device("meta")
    usual = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    away = torch.nn.Linear(1, 1, device="meta")
    assert _device(None) == _device(away) == usual
    assert _device(torch.nn.Linear(1, 1)) == torch.device("cpu")


def test_words_tell_storages_apart():
    plain, lean = ClusCaConfig(), ClusCaConfig(storage=LeanStorage(basis="gated"))
    assert words_of(lean) == f"{words_of(plain)}, {LeanStorage(basis='gated')}"


def test_what_lies_beside_a_file_has_its_name():
    for name, expected in (("fast.json", "fast"), ("fast", "fast"), ("fast-4.5", "fast-4.5")):
        path = pathlib.Path("folder") / name
        assert beside(path, ".report.json") == pathlib.Path(f"folder/{expected}.report.json")


MODULE = """
import torch

def make():
    return lambda config, seeds: torch.full((len(seeds), 1, 2, 2), {value})
"""


@pytest.mark.parametrize("value, told", [("0.5", "0.5 to 0.5"), ("-7.0", "-7 to -7")])
def test_another_range_of_pictures_is_told(value, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = f"range_{abs(hash(value))}"
    pathlib.Path(f"{name}.py").write_text(textwrap.dedent(MODULE.format(value=value)))
    model = open_model(f"{name}:make")
    model.draw(ClusCaConfig(), [0])
    with pytest.warns(UserWarning, match=rf"should draw pictures in \[-1, 1\], got .* {told}:"):
        model.draw(None, [0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.draw(None, [1])  # it is told once


def test_pictures_that_are_no_numbers_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("no_numbers.py").write_text(MODULE.format(value="float('nan')"))
    model = open_model("no_numbers:make")
    with pytest.raises(ValueError, match="no_numbers:make must draw finite pictures, got NaN"):
        model.draw(None, [0])
    assert model.draw(ClusCaConfig(), [0]).images.isnan().all()  # is that candidate's own matter
    with pytest.raises(ValueError, match="device is a matter of no_numbers:make itself, got 'cuda"):
        open_model("no_numbers:make", "cuda:1")


def test_a_configuration_that_is_not_there_is_a_bad_argument(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for also in ("nope.json", str(tmp_path)):
        arguments = ["calibrate", "digits", "--speedup", "4", "--also", also]
        done = CliRunner().invoke(app, arguments, env={"COLUMNS": "500"})
        assert done.exit_code == 2 and "also must name files, got" in done.output
    assert not list(tmp_path.iterdir())
