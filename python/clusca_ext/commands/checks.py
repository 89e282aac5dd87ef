"""What a command refuses before it begins to work."""

import os
import pathlib

import torch
import typer


def require_folder(output: pathlib.Path) -> None:
    """The folder of a file that will be written is there, and can be written to."""
    if not output.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {output.parent}")
    if output.is_dir():
        raise typer.BadParameter(f"{output} must be a file, it is a folder")
    if not os.access(output.parent, os.W_OK):
        raise typer.BadParameter(f"the folder {output.parent} cannot be written to")


def require_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise typer.BadParameter(f"{device!r} cannot be used: {reason}") from None


def device_of(asked: str | None) -> str:
    """The device asked for; without one the GPU, where there is one."""
    if asked is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    require_device(asked)
    return asked
