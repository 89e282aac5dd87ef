"""``clusca search``: on which model, what it writes, what it refuses."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import clusca_ext.search
from clusca_ext import ClusCaConfig
from clusca_ext.cli import app
from clusca_ext.lab.models import open_model
from clusca_ext.origin import drawn_by
from clusca_ext.search import Placement
from lab_cases import small_folder


def my_draw():
    return lambda config, seeds: torch.zeros(len(seeds), 1, 2, 2)


COMMAND = ["search", "--steps", "6", "--full-steps", "3", "--tries", "2", "--seeds", "2"]
COMMAND += ["--held-out", "2", "--forecaster", "hermite", "--order", "2"]


def test_the_command_writes_a_configuration_to_load(tmp_path, monkeypatch):
    output = tmp_path / "found.json"
    result = CliRunner().invoke(app, [*COMMAND, "--output", str(output)])
    assert result.exit_code == 0, result.output
    assert "Held-out seeds: " in result.output and "±" in result.output
    config = ClusCaConfig.load(output)
    found = Placement.load(tmp_path / "found.search.json")
    assert config == found.config() and len(config.schedule.steps) == 3
    assert config.forecaster.order == 2 and found.tries == 2
    assert len((tmp_path / "found.journal.jsonl").read_text().splitlines()) >= 1 + 3 + 1

    result = CliRunner().invoke(app, [*COMMAND, "--seed", "1", "--output", str(output)])
    assert result.exit_code == 2
    assert "other settings: seed must be 0 to go on" in " ".join(result.output.split())

    def stop(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(clusca_ext.search, "find_placement", stop)
    result = CliRunner().invoke(app, [*COMMAND, "--output", str(output)])
    assert result.exit_code == 130 and "goes on where it was" in result.output


def test_any_model_is_searched_with_its_own_steps(tmp_path, monkeypatch):
    searched = []

    def note(draw, settings, **more):
        searched.append((draw.model, settings))
        raise ValueError("enough")

    monkeypatch.setattr(clusca_ext.search, "find_placement", note)
    shortened = ["pictures", "--steps", "9", "--full-steps", "3"]
    for more in (["pictures"], ["digits"], shortened, ["digits", "--steps", "3"]):
        arguments = ["search", "--output", str(tmp_path / "found.json"), "--model", *more]
        assert "enough" in CliRunner().invoke(app, arguments).output
    (pictures, of_pictures), (digits, of_digits), (_, shorter), (_, shortest) = searched
    assert (shortest.num_steps, shortest.full_steps) == (3, 2)
    assert (pictures.name, of_pictures.num_steps, of_pictures.full_steps) == ("pictures", 25, 7)
    assert (digits.name, of_digits.num_steps, of_digits.full_steps) == ("digits", 50, 12)
    assert (shorter.num_steps, shorter.objective) == (9, of_pictures.objective)
    assert pictures.weights in of_pictures.objective and digits.weights in of_digits.objective


def test_the_pictures_model_is_searched(tmp_path):
    output = tmp_path / "found.json"
    arguments = ["--steps", "4", "--full-steps", "3", "--tries", "1", "--seeds", "2"]
    arguments += ["--held-out", "2", "--model", "pictures", "--output", str(output)]
    result = CliRunner().invoke(app, ["search", *arguments])
    assert result.exit_code == 0, result.output
    found = Placement.load(output.with_suffix(".search.json"))
    assert found.tries == 1 and ClusCaConfig.load(output).schedule.steps == found.steps
    assert 10 < found.held_out_psnr.mean < 120


def test_a_journal_is_of_one_model_and_its_weights(tmp_path):
    folder, output = tmp_path / "model", tmp_path / "found.json"
    arguments = [*COMMAND, "--model", small_folder(folder), "--output", str(output)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    weights = open_model(str(folder)).weights
    assert Placement.load(output.with_suffix(".search.json")).settings.objective == (
        f"{folder}, weights {weights}, cpu; {drawn_by(torch.device('cpu'))}"
    )
    assert CliRunner().invoke(app, arguments).exit_code == 0  # it goes on
    journal = output.with_suffix(".journal.jsonl").read_bytes()

    file = folder / "transformer/diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    save_file({name: tensor * 1.01 for name, tensor in tensors.items()}, file, {"format": "pt"})
    for model in (str(folder), "digits"):
        result = CliRunner().invoke(app, [*arguments, "--model", model], env={"COLUMNS": "400"})
        said = " ".join(result.output.replace("│", " ").split())
        assert result.exit_code == 2 and "other settings: objective must be" in said
        assert output.with_suffix(".journal.jsonl").read_bytes() == journal


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--device", "cuda:77"], "cannot be used"),
        (["--full-steps", "50"], "full_steps must be an integer in [2, 49], got 50"),
        (["--interval", "1"], "full_steps must be an integer in [2, 49], got 50"),
        (["--output", "/nonexistent/folder/x.json"], "no folder"),
        (["--seeds", "1"], "Invalid value for '--seeds'"),
        (["--model", "nothing"], "a folder, or module:function, got 'nothing'"),
        (["--model", "test_search_command:my_draw"], "model must be an embedded one or a folder"),
    ],
)
def test_the_command_refuses_bad_arguments_at_once(arguments, message):
    result = CliRunner().invoke(app, ["search", *arguments], terminal_width=200)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


def test_its_help_has_an_example():
    assert "Example: clusca search " in CliRunner().invoke(app, ["search", "--help"]).output
