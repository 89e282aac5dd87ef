"""Reads plain values as JSON gives them; an error says where, what was demanded and what came."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

Made = TypeVar("Made")


class Fields:
    """The values of a JSON object.

    Args:
        values: The object.
        where: Its place in the document, for messages.
    """

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, dict):
            raise ValueError(f"{where} must be an object, got {_short(values)}")
        self.values, self.where = values, where

    def only(self, *names: str) -> None:
        """No others are known."""
        unknown = sorted(set(self.values) - set(names))
        if unknown:
            raise ValueError(f"{self.where} must have no fields but {list(names)}, got {unknown}")

    def text(self, name: str, among: tuple[str, ...] = ()) -> str:
        value = self._of(name)
        if not isinstance(value, str) or (among and value not in among):
            self._refuse(name, f"one of {list(among)}" if among else "text", value)
        found: str = value
        return found

    def number(self, name: str) -> float:
        """Finite and not negative."""
        return _number(self._of(name), f"{self.where}.{name}")

    def integer(self, name: str, least: int = 0) -> int:
        return _integer(self._of(name), f"{self.where}.{name}", least)

    def list(self, name: str, most: int) -> list[Any]:
        value = self._of(name)
        if not isinstance(value, list) or len(value) > most:
            got = f"{len(value)} of them" if isinstance(value, list) else value
            self._refuse(name, f"a list of at most {most}", got)
        found: list[Any] = value
        return found

    def integers(self, name: str, most: int) -> tuple[int, ...]:
        where = f"every one of {self.where}.{name}"
        return tuple(_integer(value, where, 0) for value in self.list(name, most))

    def numbers(self, name: str, most: int) -> tuple[float, ...]:
        where = f"every one of {self.where}.{name}"
        return tuple(_number(value, where) for value in self.list(name, most))

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        values = self.list(name, most)
        for value in values:
            if not isinstance(value, str):
                self._refuse(name, "a list of texts", value)
        return tuple(values)

    def each(self, name: str, most: int, make: Callable[["Fields"], Made]) -> tuple[Made, ...]:
        """A list of objects."""
        of = f"{self.where}.{name}"
        values = enumerate(self.list(name, most))
        return tuple(make(Fields(value, f"{of}[{index}]")) for index, value in values)

    def object(self, name: str) -> "Fields":
        return Fields(self._of(name), f"{self.where}.{name}")

    def optional(self, name: str, read: Callable[[str], Made]) -> Made | None:
        """What ``read`` reads; None where the field is null or absent."""
        return None if self.values.get(name) is None else read(name)

    def _of(self, name: str) -> Any:
        if name not in self.values:
            raise ValueError(f"{self.where} must have a field {name!r}, got {sorted(self.values)}")
        return self.values[name]

    def _refuse(self, name: str, demand: str, value: Any) -> None:
        raise ValueError(f"{self.where}.{name} must be {demand}, got {_short(value)}")


def _number(value: Any, where: str) -> float:
    whole = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not whole or not math.isfinite(value) or value < 0:
        raise ValueError(f"{where} must be a finite number of at least 0, got {_short(value)}")
    return float(value)


def _integer(value: Any, where: str, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{where} must be an integer of at least {least}, got {_short(value)}")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
