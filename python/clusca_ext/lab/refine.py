"""Small changes of a configuration: what a local search tries next."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from clusca_ext.config import ClusCaConfig
from clusca_ext.lab.trials import Candidate
from clusca_ext.schedule import MaskSchedule

Alternatives = Callable[[Any], tuple[Any, ...]]


def _by_one(value: int) -> tuple[int, ...]:
    return value - 1, value + 1


def _twofold(value: float) -> tuple[float, ...]:
    return type(value)(value / 2), value * 2


def _a_quarter(value: float) -> tuple[float, ...]:
    return value / 1.25, value * 1.25


def _paces(value: tuple[tuple[Any, int], ...]) -> tuple[Any, ...]:
    """All numbers of steps, of a codebook or of ranges, one less or one more."""
    return tuple(tuple((key, max(1, n + more)) for key, n in value) for more in (-1, 1))


CHANGES: dict[str, Alternatives] = {  # by the field's name, whatever part has it
    "interval": _by_one,
    "warmup": _by_one,
    "tail": _by_one,
    "order": _by_one,
    "bounded": lambda value: (not value,),
    "sigma": lambda value: (round(value - 0.1, 3), round(value + 0.1, 3)),
    "eta": lambda value: (round(value - 0.1, 3), round(value + 0.1, 3)),
    "low_band": _twofold,
    "num_clusters": _twofold,
    "gamma": _twofold,
    "ratio": _twofold,
    "every": _by_one,
    "threshold": _a_quarter,
    "floor": _a_quarter,
    "decay": _twofold,
    "min_skips": _by_one,
    "max_skips": _by_one,
    "codebook": _paces,
    "ranges": _paces,
}
# From one short interval to the next are many full steps; so many more of warm-up lie between.
LONGER = (2, 4)
PARTS = ("schedule", "forecaster", "corrector")


def neighbours(candidate: Candidate) -> list[Candidate]:
    """Every change of a number of one part that makes a configuration."""
    found = []
    for part in PARTS:
        for changed in _changed(getattr(candidate.config, part)):
            try:
                config = dataclasses.replace(candidate.config, **{part: changed})
            except ValueError:  # parts that do not go together
                continue
            found.append(Candidate(words_of(config), config))
    return found


def words_of(config: ClusCaConfig) -> str:
    """The parts of a configuration, with what differs from their defaults."""
    parts = []
    for name in PARTS:
        part = getattr(config, name)
        if isinstance(part, MaskSchedule):  # whose fields would be pages
            parts.append(str(part))
            continue
        fields = [
            f"{field.name}={getattr(part, field.name)!r}"
            for field in dataclasses.fields(part)
            if getattr(part, field.name) != field.default
        ]
        parts.append(f"{type(part).__name__}({', '.join(fields)})")
    if config.storage != ClusCaConfig().storage:
        parts.append(str(config.storage))
    return ", ".join(parts)


def _others(name: str, value: Any) -> Iterable[Any]:
    if dataclasses.is_dataclass(value):  # a part of a part
        return _changed(value)
    return CHANGES[name](value) if name in CHANGES and value is not None else ()


def _changed(part: Any) -> Iterator[Any]:
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        for other in _others(field.name, value):
            if other == value:  # numbers that are as small as they can be
                continue
            try:
                yield dataclasses.replace(part, **{field.name: other})
            except ValueError:  # out of its range
                continue
    if hasattr(part, "interval") and hasattr(part, "warmup"):
        for more in LONGER:
            yield dataclasses.replace(part, interval=part.interval + 1, warmup=part.warmup + more)
