"""How a command ends: its exit code, and one line that says why."""

from typing import Any

import typer
from typer.core import TyperGroup

FAILED = 1  # the job could not be done
STOPPED = 130  # what a shell says of a process that was interrupted


class Failed(Exception):
    """The job could not be done, though it was asked for in the right way; its words say why."""


class Stopped(Exception):
    """The job was interrupted; its words say what is kept."""


class Commands(TyperGroup):
    """All commands: none ends in a traceback for what its user can mend or has asked for."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            words, code = "Stopped.", STOPPED
        except Stopped as stopped:
            words, code = str(stopped), STOPPED
        except Failed as failed:
            words, code = f"Error: {failed}", FAILED
        except OSError as error:  # a disk that is full, a folder that has gone
            words, code = f"Error: {error}", FAILED
        typer.echo(words, err=True)
        raise typer.Exit(code)


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    words = str(error).strip().splitlines()
    return words[0] if words else type(error).__name__
