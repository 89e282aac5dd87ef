"""All commands: each has an example that runs, and ends as it should however it ends."""

import importlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
import typer

from clusca_ext import build_info, cli
from clusca_ext.cli import app
from command_line import clusca

QUICK = {"info", "estimate", "run", "bench operators", "bench pipeline"}  # whose examples are run


def commands(group=None, name=""):
    """Every command by its name, those of groups too."""
    group = typer.main.get_command(app) if group is None else group
    for word, command in group.commands.items():
        full = f"{name} {word}".strip()
        if hasattr(command, "commands"):
            yield from commands(command, full)
        else:
            yield full, command


COMMANDS = dict(commands())


def example(command):
    found = re.search(r"Example: clusca (.*?)(?:&&|\n|$)", command.help or "")
    assert found, command.name
    return shlex.split(found[1])


def test_all_commands_are_here():
    assert set(COMMANDS) >= QUICK | {"demo", "lab", "calibrate", "learn", "search"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_can_be_read(name):
    arguments = example(COMMANDS[name])
    words = name.split()
    assert arguments[: len(words)] == words
    context = COMMANDS[name].make_context(name, arguments[len(words) :])
    assert context.params is not None
    assert "Example: clusca" in clusca(*words, "--help").words


@pytest.mark.parametrize("name", sorted(QUICK))
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = clusca(*example(COMMANDS[name]))
    assert said.code == 0, said.words


def test_the_version():
    said = clusca("--version")
    assert (said.code, said.words) == (0, build_info().version)


def test_no_command_is_a_question():
    said = clusca()
    assert "Exit codes: 0, done; 1, the job failed" in said.words
    assert clusca("nothing").code == 2 and "No such command 'nothing'" in clusca("nothing").words


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_that_is_not_there_is_a_usage_error(name):
    said = clusca(*name.split(), "--no-such-option")
    assert said.code == 2 and "--no-such-option" in said.words


WORK = {  # what each command does for long, and arguments that lead there
    "demo": ("clusca_ext.demo.comparison.compare", ()),
    "run": ("clusca_ext.commands.run_job.open_source", ("digits",)),
    "estimate": ("clusca_ext.measuring.estimates.work", ("digits",)),
    "lab": ("clusca_ext.lab.runner.run", ()),
    "calibrate": ("clusca_ext.lab.calibrate.search", ("digits", "--psnr", "30")),
    "learn": ("clusca_ext.learning.digits.digits_training", ()),
    "search": ("clusca_ext.search.find_placement", ()),
    "bench operators": ("clusca_ext.measuring.run.measure", ()),
    "bench pipeline": ("clusca_ext.drawing.sources.open_source", ("digits",)),
}


@pytest.mark.parametrize(
    "error, code, words",
    [
        (KeyboardInterrupt(), 130, "Stopped"),
        (OSError(28, "No space left on device"), 1, "Error: "),
    ],
    ids=["interrupted", "disk-full"],
)
@pytest.mark.parametrize("name", WORK)
def test_every_command_ends_in_one_line(name, error, code, words, tmp_path, monkeypatch):
    def failing(*_, **__):
        raise error

    monkeypatch.chdir(tmp_path)
    place, arguments = WORK[name]
    module, _, function = place.rpartition(".")
    monkeypatch.setattr(importlib.import_module(module), function, failing)
    said = clusca(*name.split(), *arguments)
    assert said.code == code and words in said.words, said.words
    assert "Traceback" not in said.words
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def test_a_signal_ends_a_run_and_keeps_its_pictures(tmp_path):
    """Ctrl-C in a shell: a real signal to a process of its own."""
    command = [sys.executable, "-c", "from clusca_ext.cli import app; app()", "run", "digits"]
    command += ["--class", "3", "--steps", "4", "--count", "5000"]
    path = os.pathsep.join([str(cli.__file__).partition("/clusca_ext/")[0], *sys.path])
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200000"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "clusca-run-1.png").exists() and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    last = errors.strip().splitlines()[-1]
    assert last.startswith("Stopped; kept: clusca-run-0.png, clusca-run-1.png")
    assert "Traceback" not in errors and "partial" not in "".join(os.listdir(tmp_path))
    kept = re.findall(r"clusca-run-\d+\.png", last)
    assert sorted(kept) == sorted(os.listdir(tmp_path))
