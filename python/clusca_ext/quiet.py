"""Whether a machine was quiet while times were taken: what takes as long each time took as long."""

from collections.abc import Iterable

QUIET = 1.15  # how far times of the same work may lie apart, as a ratio


def is_quiet(seconds: Iterable[float]) -> bool:
    """Whether all durations of the same work lie within ``QUIET`` of each other."""
    several = list(seconds)
    return bool(several) and max(several) <= QUIET * min(several)
