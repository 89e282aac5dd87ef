"""What several commands take: lists with commas between, and a device."""

import torch
import typer


def words(name: str, value: str) -> list[str]:
    """The words of a list with commas between."""
    found = [word.strip() for word in value.split(",") if word.strip()]
    if not found:
        raise typer.BadParameter(f"{name} must be words with commas between, got {value!r}")
    return found


def numbers(name: str, value: str) -> list[int]:
    """The integers of a list with commas between."""
    try:
        return [int(word) for word in words(name, value)]
    except ValueError:
        raise typer.BadParameter(
            f"{name} must be integers with commas between, got {value!r}"
        ) from None


def device_of(name: str) -> str:
    """The device, where torch can use it."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise typer.BadParameter(f"{name!r} cannot be used: {reason}") from None
    return name
