"""Checks that several descriptions share; each error names the field, the demand and what came."""

import math
import operator
from typing import Any

import torch


def integer(name: str, value: Any, least: int, most: int | None = None) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        demand = f"of at least {least}" if most is None else f"in [{least}, {most}]"
        raise ValueError(f"{name} must be an integer {demand}, got {value!r}")


def index(name: str, value: object) -> None:
    """Of a block, from the first or, negative, from the last."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} must be the index of a block, got {value!r}")


def integers(name: str, values: Any, least: int, most: int | None = None) -> tuple[int, ...]:
    """The values as a tuple."""
    try:
        whole: tuple[int, ...] = tuple(values)
    except TypeError:
        raise ValueError(f"{name} must be a sequence of integers, got {values!r}") from None
    for value in whole:
        integer(f"every one of {name}", value, least, most)
    return whole


def numbers(name: str, values: Any) -> tuple[Any, ...]:
    """The values as a tuple."""
    try:
        found = tuple(values)
    except TypeError:
        raise ValueError(f"{name} must be a sequence of numbers, got {values!r}") from None
    for value in found:
        _real(f"every one of {name}", value)
    return found


def number(name: str, value: Any) -> None:
    """A finite one."""
    _real(name, value)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")


def _real(name: str, value: object) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number, got {value!r}")


def threshold(name: str, value: object) -> None:
    """Infinity is one; NaN, to which nothing compares, is none."""
    _real(name, value)
    if value != value:
        raise ValueError(f"{name} must be a number, got {value!r}")


def flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")


def pairs(name: str, values: Any) -> tuple[tuple[Any, Any], ...]:
    """The values as a tuple of pairs."""
    try:
        found = tuple(tuple(value) for value in values)
    except TypeError:
        raise ValueError(f"{name} must be a sequence of pairs, got {values!r}") from None
    for value in found:
        if len(value) != 2:
            raise ValueError(f"every one of {name} must be a pair, got {value!r}")
    return found


def block_name(name: str, value: object) -> None:
    if not isinstance(value, (int, str)) or isinstance(value, bool):
        raise ValueError(f"{name} must be the name or index of a block, got {value!r}")


def part(name: str, value: object, method: str) -> None:
    """An object of any class with the method; a class itself has it too, but cannot call it."""
    if isinstance(value, type) or not callable(getattr(value, method, None)):
        raise ValueError(f"{name} must be an object with a method {method}, got {value!r}")


def sample_seeds(values: Any) -> tuple[int, ...] | None:
    """The seeds of ``enable_cache``; integers of any kind, of a tensor too."""
    if values is None:
        return None
    try:
        seeds = tuple(operator.index(value) for value in values)
    except TypeError:
        seeds = ()
    if not seeds:
        raise ValueError(f"seeds must be a sequence of integers, one at least, got {values!r}")
    for seed in seeds:
        integer("every one of seeds", seed, -(2**63), 2**63 - 1)
    return seeds


def seeds_of_samples(seeds: int, samples: int) -> None:
    """A run has one seed for all samples, or one for each."""
    if seeds not in (1, samples):
        raise ValueError(f"seeds must be one for each of {samples} samples, got {seeds}")


def row_groups(names: Any) -> tuple[str, ...]:
    """The ``cfg_rows`` of ``enable_cache``: empty, or different names with "cond" among them."""
    groups = tuple(names) if isinstance(names, (tuple, list)) else (None,)
    named = all(isinstance(name, str) for name in groups) and len(set(groups)) == len(groups)
    if not named or (groups and "cond" not in groups):
        raise ValueError(f'cfg_rows must name different groups, one of them "cond", got {names!r}')
    return groups


def function(name: str, value: object) -> None:
    if value is not None and not callable(value):
        raise ValueError(f"{name} must be a function, got {value!r}")


def process_group(value: object) -> None:
    """That of ``enable_cache``; None: there is none."""
    if value is None:
        return
    group = torch.distributed  # of a rank that is none of them, it is another object
    if not group.is_available() or not (
        isinstance(value, group.ProcessGroup) or value is group.GroupMember.NON_GROUP_MEMBER
    ):
        raise ValueError(f"process_group must be one of torch.distributed, got {value!r}")
