"""All commands: each has an example that runs, and ends as it should however it ends."""

import importlib
import os
import pathlib
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
from documents import blocks

QUICK = {"info", "estimate", "run", "bench operators"}  # whose examples are run


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


def example(name):
    """Its arguments; an example may have more than one command."""
    found = re.search(r"Example: (.*)", COMMANDS[name].help or "")
    assert found, name
    calls = [each.strip() for each in found[1].split("&&")]
    (call,) = [each for each in calls if each.startswith(f"clusca {name}")]
    return shlex.split(call)[1:]


def test_all_commands_are_here():
    assert set(COMMANDS) >= QUICK | {"demo", "lab", "calibrate", "learn", "smooth", "search"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_can_be_read(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.json").touch()  # what an example's first command writes, its second reads
    arguments = example(name)
    words = name.split()
    assert arguments[: len(words)] == words
    context = COMMANDS[name].make_context(name, arguments[len(words) :])
    assert context.params is not None
    assert "Example: clusca" in clusca(*words, "--help").words


@pytest.mark.parametrize("name", sorted(QUICK))
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = clusca(*example(name))
    assert said.code == 0, said.words


PAGE = pathlib.Path(__file__).parents[1] / "docs/command-line.md"
ON_PAGE = [
    shlex.split(line, comments=True)[1:]
    for block in blocks(PAGE.read_text())
    if block.language == "bash"
    for line in block.text.splitlines()
]


def test_the_page_has_every_command():
    """What stands there can be read: tests/test_document_commands.py."""
    said = {" ".join(arguments[:2]) for arguments in ON_PAGE}
    said |= {arguments[0] for arguments in ON_PAGE}
    assert set(COMMANDS) <= said


@pytest.mark.parametrize(
    "arguments",
    [each for each in ON_PAGE if each[0] == "info" or each[-1].startswith("--list")],
    ids=" ".join,
)
def test_quick_lines_of_the_page_run(arguments):
    assert clusca(*arguments).code == 0


def test_what_the_page_refuses():
    said = clusca("run", "digits", "--class", "3", "--prompt", "a three")
    message = re.search(r"Invalid value: --prompt .*", PAGE.read_text())[0]
    assert said.code == 2 and message in said.words


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
    "learn": ("clusca_ext.learning.embedded.training_of", ()),
    "smooth": ("clusca_ext.learning.calibration.calibrate", ()),
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
    # What a background job ignores, its children do, too: the tests may run in one.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{listen}; from clusca_ext.cli import app; app()"
    command = [sys.executable, "-c", program, "run", "digits"]
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
