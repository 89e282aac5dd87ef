"""``clusca learn``: on tiny models of the embedded ones' kinds, stopped and gone on with."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from diffusers import DiTTransformer2DModel
from typer.testing import CliRunner

from clusca_ext import MaskSchedule
from clusca_ext.cli import app
from clusca_ext.demo.picture_pipeline import FOLDER as PICTURES
from clusca_ext.demo.pipeline import FOLDER, load_digits
from clusca_ext.learning.comparison import even_steps
from clusca_ext.learning.embedded import Task, training_of
from clusca_ext.learning.objective import Price
from clusca_ext.learning.training import CHECKPOINT, Training, TrainingSettings
from tiny_pipeline import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny(tmp_path_factory.mktemp("tiny"), FOLDER, channels=1, classes=10)


def learn(folder, output, *options):
    given = ["learn", "--model", str(folder), "--output", str(output), "--steps", "4"]
    given += ["--iterations", "6", "--batch", "2", "--samples", "3", *options]
    return CliRunner().invoke(app, given, env={"COLUMNS": "200"})


@pytest.mark.parametrize("objective", ["pairs", "data", "run"])
def test_it_learns_measures_and_reports(objective, folder, tmp_path):
    done = learn(folder, tmp_path, "--objective", objective, "--theta", "1")
    assert done.exit_code == 0, done.output
    assert "Left out:" in done.output and "Taylor, order 1, clusters" in done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["iterations"], report["objective"], report["num_steps"]) == (6, objective, 4)
    assert report["modules"] == [[0, "attn"], [0, "mlp"], [1, "attn"], [1, "mlp"]]
    assert len(report["psnr_and_standard_error"]) == 4 and report["psnr_samples"] == 3
    schedule = MaskSchedule.load(tmp_path / "mask.json")
    assert schedule.num_steps == 4 and report["removed"] == round(schedule.removed, 4)
    assert (tmp_path / "mask.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("objective", ["pairs", "run"])
def test_a_model_of_the_pictures_kind(objective, tmp_path):
    """Flow matching, and other classes; there are no data for it."""
    folder = tiny(tmp_path / "tiny", PICTURES, channels=3, classes=7)
    done = learn(folder, tmp_path / "out", "--objective", objective, "--theta", "1")
    assert done.exit_code == 0 and "PSNR to the full sampler, 3 samples" in done.output
    assert MaskSchedule.load(tmp_path / "out" / "mask.json").num_steps == 4


def test_real_digits_are_for_models_of_digits(tmp_path):
    folder = tiny(tmp_path / "tiny", PICTURES, channels=3, classes=7)
    refused = learn(folder, tmp_path / "out", "--objective", "data")
    said = " ".join(refused.output.replace("│", " ").split())
    assert refused.exit_code == 2 and "objective must be 'pairs' or 'run' for a model that" in said


def test_where_nothing_is_left_out_nothing_is_compared(folder, tmp_path):
    done = learn(folder, tmp_path, "--theta", "0")
    assert done.exit_code == 0, done.output
    assert "Nothing is left out: every score is above theta 0" in done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["removed"] == 0 and "psnr_and_standard_error" not in report


def test_stopped_by_a_key_it_says_how_to_go_on(folder, tmp_path, monkeypatch):
    whole = learn(folder, tmp_path / "whole")
    iterate = Training._iterate

    def stopping(self):
        if self.iteration == 3:
            raise KeyboardInterrupt
        return iterate(self)

    monkeypatch.setattr(Training, "_iterate", stopping)
    stopped = learn(folder, tmp_path / "parts")
    assert stopped.exit_code == 130
    assert "Stopped after iteration 3 of 6, kept in" in stopped.output
    assert "The same command goes on from there" in stopped.output
    assert [path.name for path in (tmp_path / "parts").iterdir()] == [CHECKPOINT]
    monkeypatch.undo()
    assert learn(folder, tmp_path / "parts").exit_code == whole.exit_code == 0
    for name in (CHECKPOINT, "mask.json", "report.json", "mask.png"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_does_not_fit_is_refused(folder, tmp_path):
    for options, message in (
        (("--objective", "all"), "objective must be one of"),
        (("--learning-rate", "-1"), "learning_rate must be above 0"),
        (("--model", str(tmp_path)), "must hold transformer/ and scheduler/"),
    ):
        refused = learn(folder, tmp_path / "out", *options)
        assert refused.exit_code == 2 and message in " ".join(refused.output.split())
    assert learn(folder, tmp_path / "out").exit_code == 0
    refused = learn(folder, tmp_path / "out", "--lambda", "0.5")
    assert refused.exit_code == 2 and "penalty must be 0.0001" in " ".join(refused.output.split())


def test_a_checkpoint_of_other_weights_is_refused(folder, tmp_path):
    assert learn(folder, tmp_path / "router", "--theta", "1").exit_code == 0
    model = DiTTransformer2DModel.from_pretrained(folder / "transformer")
    with torch.no_grad():
        model.proj_out_2.bias.add_(1)
    model.save_pretrained(tmp_path / "transformer")
    shutil.copytree(FOLDER / "scheduler", tmp_path / "scheduler")
    before = (tmp_path / "router" / "mask.json").read_bytes()
    done = learn(tmp_path, tmp_path / "router", "--theta", "1", "--iterations", "7")
    assert done.exit_code == 2 and "weights" in done.output
    assert (tmp_path / "router" / "mask.json").read_bytes() == before


def test_real_digits_need_an_extra(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    refused = learn(folder, tmp_path, "--objective", "data")
    assert refused.exit_code == 2 and "clusca_ext[train]" in refused.output


def test_training_is_on_other_digits_than_measuring(folder):
    task, seen = Task(steps=4, batch=3), []
    pipeline = load_digits(folder)

    class Spy:
        num_classes = 10

        def __call__(self, labels, seeds, num_inference_steps):
            seen.append((labels, seeds))

    for seed in (0, 1):
        task.sample(Spy(), seed)
    assert [each for _, seeds in seen for each in seeds] == list(range(100_000, 100_006))
    assert task.cached_steps == (1, 3)
    settings = TrainingSettings(iterations=1)
    training = training_of(pipeline, task, Price(), settings, folder / "nowhere")
    assert len(training.routers.learnt) == 4


@pytest.mark.parametrize(
    "computed, expected",
    [
        pytest.param([1, 0] * 5, (0, 2, 4, 7, 9), id="half"),
        pytest.param([1] * 10, tuple(range(10)), id="all"),
        pytest.param([1] + [0] * 9, (0, 9), id="two-at-least"),
    ],
)
def test_even_steps_spend_as_much(computed, expected):
    assert even_steps(MaskSchedule(modules={"mlp-0": computed})) == expected


def test_help_does_not_import_diffusers():
    code = (
        "import sys; from typer.testing import CliRunner; from clusca_ext.cli import app; "
        "found = CliRunner().invoke(app, ['learn', '--help']); "
        "assert 'Example: clusca learn' in found.output, found.output; "
        "assert 'clusca_ext.learning' not in sys.modules; "
        "assert 'clusca_ext.demo.pipeline' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
