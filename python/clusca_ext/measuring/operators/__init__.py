"""What every operator is measured by: ``CASES``, where, and ``work(case)``, against what."""

import importlib
import pkgutil
from typing import Protocol, cast

from clusca_ext.measuring.shapes import Case
from clusca_ext.measuring.work import Work


class Operator(Protocol):
    """A module of this package."""

    CASES: list[Case]

    def work(self, case: Case) -> Work:
        """What is timed of a case."""


def names() -> list[str]:
    """All operators."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Operator:
    """An operator by its name.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in names():
        raise ValueError(f"operator must be one of {names()}, got {name!r}")
    return cast(Operator, importlib.import_module(f"{__name__}.{name}"))
