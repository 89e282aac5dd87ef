"""``clusca lab``: the grid it measures, resumed, shown, refused, interrupted."""

import inspect

import pytest
import torch
from typer.testing import CliRunner

from clusca_ext.cli import app
from clusca_ext.commands.arguments import numbers
from clusca_ext.commands.lab import lab
from clusca_ext.lab import grid
from clusca_ext.lab.comparison import groups
from clusca_ext.lab.journal import read
from clusca_ext.lab.methods import COUNTS, METHODS, all_methods
from clusca_ext.origin import origin
from lab_cases import SyntheticModel, small_folder


def clusca(*arguments):
    return CliRunner().invoke(app, list(arguments))


def help_of(command):
    return " ".join(clusca(command, "--help").output.replace("│", " ").split())


def test_the_command_measures_the_whole_grid():
    taken = inspect.signature(lab).parameters
    given = {name: numbers(name, taken[name].default) for name in ("intervals", "orders")}
    assert given == {"intervals": list(grid.INTERVALS), "orders": list(grid.ORDERS)}
    assert taken["baseline"].default is None and "3 to 20 with all methods" in help_of("lab")
    assert (grid.FULL_STEPS[0], grid.FULL_STEPS[-1], len(grid.FULL_STEPS)) == (3, 20, 18)


def test_help_has_an_example_and_methods_are_listed():
    result = clusca("lab", "--help")
    assert result.exit_code == 0 and "Example: clusca lab" in result.output
    listed = clusca("lab", "--list-methods")
    lines = [line.split(maxsplit=1) for line in listed.output.splitlines()]
    assert listed.exit_code == 0 and [name for name, _ in lines] == all_methods()
    parts = dict(lines)
    assert parts["taylor"].startswith("IntervalSchedule(interval=5, warmup=2")
    assert "TeaCacheSchedule(threshold=0.125, polynomial=(1.0, 0.0)" in parts["teacache"]
    assert "unit='spacing'" in parts["spaced-hermite-even"]
    assert parts["speca-fitted"] == "of other models, or of runs of other steps"
    assert parts["learning-to-cache"].startswith("MaskSchedule(50 steps of 16 modules")
    assert "NoCorrection" not in listed.output and "ClusterCorrector" in parts["clusca"]


ARGUMENTS = ["--steps", "5", "--samples", "2", "--intervals", "2", "--orders", "1"]
ARGUMENTS += ["--baseline", ""]


def test_the_command_measures_resumes_and_writes(tmp_path):
    model = small_folder(tmp_path / "small")
    arguments = ["lab", "--model", model, "--methods", "taylor-even,reuse", *ARGUMENTS]
    arguments += ["--output", str(tmp_path)]
    result = clusca(*arguments, "--limit", "0")
    assert result.exit_code == 0 and "2 are left" in " ".join(result.output.split())
    result = clusca(*arguments, "--write-docs", str(tmp_path / "docs"))
    assert result.exit_code == 0, result.output
    assert "2 of them measured now" in " ".join(result.output.split())
    (path,) = tmp_path.glob("*-lab-small.jsonl")
    assert [row["method"] for row in read(path)] == ["taylor-even", "reuse"]
    assert "`taylor-even`" in (tmp_path / "docs/quality.md").read_text()
    result = clusca(*arguments)
    assert "0 of them measured now" in " ".join(result.output.split())
    assert len(read(path)) == 2


def test_the_command_goes_on_beside_the_rows_of_another_machine(tmp_path, monkeypatch):
    model = small_folder(tmp_path / "small")
    arguments = ["lab", "--model", model, "--methods", "taylor-even,reuse", *ARGUMENTS, "--missing"]
    arguments += ["--output", str(tmp_path)]
    who = origin(torch.device("cpu"))
    monkeypatch.setattr("clusca_ext.origin.origin", lambda device: who | {"machine": "other"})
    assert clusca(*arguments, "--intervals", "2").exit_code == 0
    monkeypatch.undo()
    result = clusca(*arguments, "--intervals", "2,8", "--write-docs", str(tmp_path / "docs"))
    assert "4 settings, 2 of them measured now" in " ".join(result.output.split()), result.output
    files = {path.name: len(read(path)) for path in tmp_path.glob("*.jsonl")}
    assert files == {"other-lab-small.jsonl": 2, f"{who['machine']}-lab-small.jsonl": 2}
    page = (tmp_path / "docs/quality.md").read_text()
    assert "interval 2 | interval 8 |" in page and "<!-- clusca lab: small-cpu -->" in page


@pytest.mark.parametrize("command", ["lab", "calibrate"])
def test_an_interrupted_command_says_how_to_go_on(tmp_path, monkeypatch, command):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(SyntheticModel, "draw", stop)
    monkeypatch.setattr("clusca_ext.lab.models.open_model", lambda *arguments: SyntheticModel())
    arguments = ["--output", str(tmp_path)]
    if command == "calibrate":
        arguments = ["synthetic", "--psnr", "30", "--output", str(tmp_path / "x.json")]
    result = clusca(command, *arguments)
    assert result.exit_code == 130
    assert "Stopped; " in result.output and "run it again" in " ".join(result.output.split())


def test_every_method_runs(tmp_path):
    """Together with its schedule, storage and the counting of its operations."""
    arguments = ["--model", small_folder(tmp_path / "small"), "--steps", "14", "--samples", "1"]
    arguments += ["--orders", "2", "--output", str(tmp_path)]
    for chosen, interval in (("all", "6"), ("placed-pictures", "5")):  # which exists there alone
        given = ["--methods", chosen, "--intervals", interval, "--baseline", "2"]
        result = clusca("lab", *arguments, *given)
        assert result.exit_code == 0, result.output
    rows = read(next(tmp_path.glob("*-lab-small.jsonl")))
    assert {row["method"]: row["error"] for row in rows} == dict.fromkeys([*METHODS, COUNTS])
    shown = [row["method"] for group in groups(rows) for row in group.rows]
    assert {*shown} == {*METHODS}  # each is configured as its row in the file says
    for row in rows:
        assert row["operations"] > 0.9 and row["full"] + row["cached"] + row["partial"] == 14


@pytest.mark.parametrize("of", [("--model", "small"), ("--model", "digits", "--steps", "20")])
def test_what_was_fitted_to_a_model_is_not_tried_elsewhere(of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_folder(tmp_path / "small")
    result = clusca("lab", *of, "--methods", "learning-to-cache", "--output", str(tmp_path))
    said = " ".join(result.output.replace("│", " ").split())
    assert result.exit_code == 2 and "methods must exist at one of intervals 4,5,6,7,8" in said


def test_the_command_shows_failures(tmp_path, monkeypatch):
    def refuse(interval, order):
        raise ValueError("it cannot be [so]")

    monkeypatch.setitem(METHODS, "refuse", refuse)
    arguments = [*ARGUMENTS, "--output", str(tmp_path)]
    result = clusca("lab", "--methods", "refuse", *arguments)
    assert result.exit_code == 1
    assert "Failed: refuse, interval 2, order 1: ValueError: it cannot be [so]" in result.output


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--methods", "best"], "methods must be some of"),
        (["--methods", ","], "methods must be words with commas between, got ','"),
        (["--intervals", "four"], "intervals must be integers with commas between, got 'four'"),
        (["--intervals", "0"], "every one of intervals must be an integer of at least 1, got 0"),
        (["--orders", "9"], "must be an integer in [0, 7], got 9"),
        (["--samples", "0"], "Invalid value for '--samples'"),
        (["--device", "cuda:77"], "cannot be used"),
        (["--model", "nothing"], "a folder, or module:function, got 'nothing'"),
    ],
)
def test_the_command_refuses_bad_arguments_at_once(arguments, message, tmp_path):
    result = clusca("lab", *arguments, "--output", str(tmp_path))
    assert result.exit_code == 2
    words = " ".join(result.output.replace("│", " ").split())
    assert message in words and not list(tmp_path.iterdir())
