"""``clusca smooth``: on a tiny model of an embedded one's kind."""

import json

import pytest

from clusca_ext import MaskSchedule
from clusca_ext.demo.picture_pipeline import FOLDER as PICTURES
from clusca_ext.demo.pipeline import FOLDER, load_digits
from clusca_ext.learning import ErrorCurves, calibrate, comparison
from clusca_ext.learning.embedded import Task
from command_line import clusca
from tiny_pipeline import tiny

FILES = {"curves.json", "mask.json", "mask.png", "report.json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny(tmp_path_factory.mktemp("tiny"), FOLDER, channels=1, classes=10)


def smooth(folder, output, *options):
    given = ["smooth", "--model", folder, "--output", output, "--steps", 6, "--batch", 2]
    return clusca(*given, "--samples", 3, *options)


def test_it_measures_masks_and_compares(folder, tmp_path):
    done = smooth(folder, tmp_path, "--leave-out", 0.4, "--runs", 2, "--max-gap", 2)
    assert done.code == 0, done.words
    assert "Errors from step to step: attn 0." in done.words and ", mlp 0." in done.words
    assert "Left out: " in done.words and "Taylor, order 1, clusters" in done.words
    assert "PSNR to the full sampler, 3 samples. Files: " in done.words
    assert {path.name for path in tmp_path.iterdir()} == FILES
    pipeline, task = load_digits(folder), Task(steps=6, batch=2)
    expected = calibrate(
        pipeline.transformer, lambda seed: task.sample(pipeline, seed), 6, 2, (0, 1)
    )
    curves = ErrorCurves.load(tmp_path / "curves.json")
    for name, rows in curves.curves.items():
        for row, wanted in zip(rows, expected.curves[name], strict=True):
            assert row == pytest.approx(wanted, rel=1e-5)
    schedule = MaskSchedule.load(tmp_path / "mask.json")
    assert schedule == curves.leaving_out(0.4)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["removed"] == round(schedule.removed, 4) > 0
    assert (report["leave_out"], report["bound"], report["by"]) == (0.4, None, "kind")
    rows = report["psnr_and_standard_error"]
    assert len(rows) == 4 and set(rows["reuse"]) == {"masks", "even", "gain"}
    assert report["psnr_samples"] == 3
    assert (tmp_path / "mask.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        pytest.param((), lambda curves: curves.leaving_out(0.25), id="default"),
        pytest.param(("--bound", 0.2), lambda curves: curves.schedule(0.2), id="bound"),
        pytest.param(
            ("--leave-out", 0.3, "--by-module"),
            lambda curves: curves.leaving_out(0.3, by="module"),
            id="by-module",
        ),
    ],
)
def test_a_model_of_the_pictures_kind(options, rule, tmp_path):
    folder = tiny(tmp_path / "tiny", PICTURES, channels=3, classes=7)
    done = smooth(folder, tmp_path / "out", *options)
    assert done.code == 0, done.words
    schedule = MaskSchedule.load(tmp_path / "out/mask.json")
    assert schedule == rule(ErrorCurves.load(tmp_path / "out/curves.json"))


def test_where_nothing_is_left_out_nothing_is_compared(folder, tmp_path):
    done = smooth(folder, tmp_path, "--bound", 0)
    assert done.code == 0
    assert "Nothing is left out, so that there is nothing to compare: take a larger" in done.words
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert "psnr_samples" not in json.loads((tmp_path / "report.json").read_text())


def test_stopped_it_keeps_what_it_measured(folder, tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison, "compare", stopped)
    done = smooth(folder, tmp_path)
    assert done.code == 130 and "Stopped before the comparison; masks and curves:" in done.words
    assert {path.name for path in tmp_path.iterdir()} == FILES


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--bound", 0.1, "--leave-out", 0.1), "one of --bound and --leave-out must be given, got"),
        (("--max-gap", 6), "max_gap must be an integer in [1, 5], got 6"),
        (("--model", "nothing"), "model must be one of ['digits', 'pictures'] or a folder, got"),
        (("--leave-out", 25), "Invalid value for '--leave-out'"),
    ],
)
def test_what_does_not_fit_is_refused(options, message, folder, tmp_path):
    refused = smooth(folder, tmp_path / "out", *options)
    assert refused.code == 2 and message in refused.words
    assert not (tmp_path / "out").exists()


def test_the_shortest_gap_of_a_short_run(folder, tmp_path):
    done = clusca("smooth", "--model", folder, "--output", tmp_path, "--steps", 3, "--samples", 2)
    assert done.code == 0, done.words
    assert json.loads((tmp_path / "report.json").read_text())["max_gap"] == 2


def test_as_many_even_steps_may_be_all_of_them(folder, tmp_path):
    """Which draw the same pictures."""
    done = smooth(folder, tmp_path, "--leave-out", 0.1, "--by-module")
    assert done.code == 0, done.words

    def refuse(constant):
        raise AssertionError(constant)

    report = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    assert 0 < report["removed"] < 1 / 6
    rows = report["psnr_and_standard_error"]
    assert all(each["even"] == [120, 0] and each["gain"][0] < 0 for each in rows.values())
