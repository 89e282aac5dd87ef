"""Lists with commas between, as commands take them."""

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
