"""Configurations of published methods, by name."""

from collections.abc import Callable

from clusca_ext.config import ClusCaConfig
from clusca_ext.token_methods import cat, duca, toca

METHODS: dict[str, Callable[[], ClusCaConfig]] = {
    "cat": cat,
    "duca": duca,
    "toca": toca,
}


def method(name: str) -> ClusCaConfig:
    """The configuration of a published method; ``ClusCaConfig.paper`` has ClusCa's own.

    Args:
        name: One of ``METHODS``, where each one's function says its source and what differs.

    Raises:
        ValueError: There is no such method.
    """
    if name not in list(METHODS):
        raise ValueError(f"name must be one of {list(METHODS)}, got {name!r}")
    return METHODS[name]()
