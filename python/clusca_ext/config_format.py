"""How a configuration is written as plain values, and read again by later releases.

A format is one number. It goes up when a file of the format before would be misread or refused:
where a key is renamed (``RENAMED``), removed, or means something else. A new key with a default
does not need a new format. Files without a number are of format 1.

A field that a class was given later (``later``) is written where it is not its default: what was
saved before is what is saved now, for older releases, too.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

VERSION = 1
# What a key of a class was called in an older format, by the class's name; it is taken as the new
# one where the file is of an older format, and named where it is not.
RENAMED: dict[str, dict[str, str]] = {}


def later(default: Any) -> Any:
    """A field of a dataclass that was not there when its class was first saved."""
    return dataclasses.field(default=default, metadata={"later": True})


def written(config: Any, parts: Mapping[str, type]) -> dict[str, Any]:
    """Plain values, as JSON holds them.

    Args:
        config: A dataclass.
        parts: The classes that its fields may be of, by name.

    Raises:
        ValueError: A part is of a class that is not among ``parts``.
    """
    return {"version": VERSION, **_plain(config, parts)}


def read(cls: Any, values: Any, parts: Mapping[str, type]) -> Any:
    """The object that ``written`` wrote; missing keys take their defaults.

    Raises:
        ValueError: A key, class or value is not known, or the format is newer than this release's.
    """
    if not isinstance(values, dict):
        raise ValueError(f"the configuration must be a dict, got {values!r}")
    values = dict(values)
    version = values.pop("version", 1)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(f"version must be an integer from 1 to {VERSION}, got {version!r}")
    if version > VERSION:
        raise ValueError(
            f"version must be at most {VERSION}, got {version}: the configuration was saved by a "
            "newer clusca_ext; update this one, or save it again with this one"
        )
    return _build(cls, values, "the configuration", parts, version)


def _plain(part: Any, parts: Mapping[str, type]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if field.metadata.get("later") and value == field.default:
            continue
        if dataclasses.is_dataclass(value) or hasattr(value, "__dict__"):
            name = type(value).__name__
            if parts.get(name) is not type(value):
                raise ValueError(f"{field.name} must be one of clusca_ext's classes, got {name}")
            plain[field.name] = {"type": name, **_plain(value, parts)}
        else:
            plain[field.name] = _lists(value)
    return plain


def _lists(value: Any) -> Any:
    """Tuples, in tuples too, as the lists that JSON makes of them."""
    return [_lists(each) for each in value] if isinstance(value, tuple) else value


def _build(
    cls: Any, values: dict[str, Any], where: str, parts: Mapping[str, type], version: int
) -> Any:
    known = [field.name for field in dataclasses.fields(cls)]
    built: dict[str, Any] = {}
    for given, value in values.items():
        name = _current(cls, given, known, where, version)
        if name in built:
            raise ValueError(f"{where} must have one {name!r}, got it under two names")
        if isinstance(value, dict):
            value = dict(value)
            kind = value.pop("type", None)
            if kind not in list(parts):  # a list has an answer for what cannot be hashed
                raise ValueError(f"type of {name} must be one of {list(parts)}, got {kind!r}")
            value = _build(parts[kind], value, kind, parts, version)
        built[name] = value
    try:
        return cls(**built)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from None


def _current(cls: Any, given: str, known: list[str], where: str, version: int) -> str:
    """What a key is called now."""
    if given in known:
        return given
    renamed = RENAMED.get(cls.__name__, {}).get(given)
    if renamed and version < VERSION:
        return renamed
    hint = ""
    if renamed:
        hint = f": it is called {renamed!r} now, so rename it"
    elif close := difflib.get_close_matches(str(given), known, 1):
        hint = f": perhaps {close[0]!r} is meant"
    raise ValueError(f"{where} has no key {given!r}{hint}; it knows {known}")
