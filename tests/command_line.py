"""Calls of ``clusca``, and what it said, in one line of words."""

from dataclasses import dataclass

from typer.testing import CliRunner

from clusca_ext.cli import app


@dataclass(frozen=True)
class Said:
    """How a command ended.

    Attributes:
        code: Its exit code.
        words: All it said, frames and line breaks aside.
    """

    code: int
    words: str


def clusca(*arguments) -> Said:
    """In this process; an error that is no exit is the test's own."""
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, " ".join(result.output.replace("│", " ").split()))
