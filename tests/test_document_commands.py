"""Commands that the documents name: ours parse them, scripts and make targets are there."""

import ast
import re
import shlex

import pytest
import typer
from typer.testing import CliRunner

from clusca_ext.cli import app
from documents import DOCUMENTS, ROOT, blocks, name_of, prose

KNOWN = ("clusca ", "make ", "python ", "bash ", "pip install ", ".venv/bin/")
QUICK = ("clusca info", "clusca --help", "clusca lab --list-methods")
COMMAND = typer.main.get_command(app)


def commands(path):
    """(command, whether it stands in a block) of a document."""
    text = path.read_text()
    lines = [
        line
        for block in blocks(text)
        if block.language in ("", "console", "bash", "sh") and not block.reason
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    lines += re.findall(r"^    (\S.*)$", prose(text), re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]
    for source, in_block in ((lines, True), (spans, False)):
        for line in source:
            line = re.sub(r"\s+#\s.*$", "", line.strip().removeprefix("$ "))
            if line.startswith(KNOWN):
                yield line, in_block


FOUND = sorted({(name_of(path), *each) for path in DOCUMENTS for each in commands(path)})


def of(program):
    return [each for each in FOUND if each[1].startswith(program)]


def options_of(command):
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts)}


@pytest.mark.parametrize("page, line, in_block", of("clusca "))
def test_clusca(page, line, in_block, tmp_path, monkeypatch):
    name, *arguments = shlex.split(line)[1:]
    if name.startswith("-"):  # of clusca itself, which are quick: they run
        assert CliRunner().invoke(app, [name, *arguments]).exit_code == 0, f"{page}: {line}"
        return
    assert name in COMMAND.commands, f"{page}: {line}"
    command = COMMAND.commands[name]
    if arguments and arguments[0] in getattr(command, "commands", {}):
        command = command.commands[arguments.pop(0)]
    named = {word.partition("=")[0] for word in arguments if word.startswith("-")}
    assert named <= options_of(command) | {"--help"}, f"{page}: {line}"
    if in_block:
        monkeypatch.chdir(tmp_path)
        for word in arguments:
            if re.fullmatch(r"\w+\.json", word):  # what an earlier command has written
                (tmp_path / word).touch()
        command.make_context(name, arguments)  # required ones are given, values are of their types


@pytest.mark.parametrize("line", QUICK)
def test_quick_ones_run(line):
    assert line == "clusca --help" or line in {each[1] for each in FOUND}
    result = CliRunner().invoke(app, shlex.split(line)[1:])
    assert result.exit_code == 0 and result.output


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([\w-]+):", makefile, re.MULTILINE) + [".venv/ready"]
    named = {(page, line.split()[1]) for page, line, _ in of("make ")}
    assert {"demo", "test", "lint", "bench", "docs"} <= {target for _, target in named}
    assert not [each for each in named if each[1] not in targets]


def flags_of(script):
    """What a script's argparse, or pytest's of the folder, is told to know."""
    paths = [script, script.parent / "conftest.py"] if script.parent.name == "bench" else [script]
    if script.parent.name == "examples":
        paths.append(script.parent / "common.py")
    calls = (
        node
        for path in paths
        if path.exists()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") in ("add_argument", "addoption")
    )
    return {each.value for call in calls for each in call.args if isinstance(each, ast.Constant)}


@pytest.mark.parametrize(
    "page, line, in_block",
    of(("python ", ".venv/bin/python ", "bash ")),
    ids=lambda each: str(each),
)
def test_scripts_know_their_flags(page, line, in_block):
    words = shlex.split(line)[1:]
    if words[0] == "-c":
        return compile(words[1], page, "exec")
    is_pytest = words[:2] == ["-m", "pytest"]
    paths = [word for word in words if "/" in word and not word.startswith("-") and "<" not in word]
    if not is_pytest and "-m" not in words and not page.startswith("bench"):
        assert paths, f"{page}: {line}"
    for path in paths[:1]:
        assert (ROOT / path.partition("::")[0]).exists(), f"{page}: {line}"
    if is_pytest or not paths or not paths[0].endswith(".py"):
        return
    named = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help"}
    assert named <= flags_of(ROOT / paths[0]), f"{page}: {line}"


def test_extras_exist():
    extras = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    named = {name for _, line, _ in of("pip install ") for name in re.findall(r"\[(\w+)\]", line)}
    assert {"lab", "train", "docs"} <= named <= set(extras)
