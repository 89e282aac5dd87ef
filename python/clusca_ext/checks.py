"""Checks that several descriptions share; each error names the field, the demand and what came."""

from typing import Any


def integer(name: str, value: Any, least: int, most: int | None = None) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        demand = f"of at least {least}" if most is None else f"in [{least}, {most}]"
        raise ValueError(f"{name} must be an integer {demand}, got {value!r}")


def integers(name: str, values: Any, least: int, most: int | None = None) -> tuple[int, ...]:
    """The values as a tuple."""
    try:
        whole: tuple[int, ...] = tuple(values)
    except TypeError:
        raise ValueError(f"{name} must be a sequence of integers, got {values!r}") from None
    for value in whole:
        integer(f"every one of {name}", value, least, most)
    return whole


def number(name: str, value: object) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number, got {value!r}")


def flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")


def part(name: str, value: object, method: str) -> None:
    """An object of any class with the method; a class itself has it too, but cannot call it."""
    if isinstance(value, type) or not callable(getattr(value, method, None)):
        raise ValueError(f"{name} must be an object with a method {method}, got {value!r}")
