"""A schedule that says of every module at which steps it is computed: learned, or measured."""

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clusca_ext.schedule.decision import ByIndex, Decision, Key, Mask, Step

# What published schedules call the modules that clusca_ext's adapters name "attn" and "mlp".
PUBLISHED_NAMES = {"attn1": "attn", "ff": "mlp"}


@dataclass(frozen=True, kw_only=True)
class MaskSchedule:
    """Of every module, whether a step computes it (1) or forecasts it (0).

    The form in which SmoothCache (arXiv 2411.10510) publishes schedules, its own and that of
    Learning-to-Cache (arXiv 2406.01733). A step that computes all modules is full, one that
    computes none is cached, and every other is a mask.

    Attributes:
        modules: Each module's name, as ``"attn-0"`` of block 0, and its marks, one for each step;
            a mapping of the two is taken too. The first step computes all.

    Raises:
        ValueError: A name is not of that form or comes twice, or marks are not 0 and 1, not all of
            one length, or not 1 at the first step.
    """

    modules: tuple[tuple[str, tuple[int, ...]], ...]

    def __post_init__(self) -> None:
        given = self.modules.items() if isinstance(self.modules, Mapping) else self.modules
        try:
            pairs = tuple((name, tuple(marks)) for name, marks in given)
        except (TypeError, ValueError):
            raise ValueError(
                f"modules must be names with marks, one for each step, got {self.modules!r}"
            ) from None
        object.__setattr__(self, "modules", pairs)
        if not pairs or not pairs[0][1]:
            raise ValueError(f"modules must have one step at least, got {pairs!r}")
        length, seen = len(pairs[0][1]), set()
        for name, marks in pairs:
            key = key_of(name)
            if key in seen:
                raise ValueError(f"modules must name each module once, got {name!r} again")
            seen.add(key)
            if any(type(mark) is not int or mark not in (0, 1) for mark in marks):
                raise ValueError(f"marks of {name!r} must be 0 or 1, got {list(marks)}")
            if len(marks) != length:
                raise ValueError(
                    f"modules must have marks for as many steps each, got {len(marks)} for "
                    f"{name!r} and {length} for {pairs[0][0]!r}"
                )
            if not marks[0]:
                raise ValueError(
                    f"the first step must compute all modules, got 0 there for {name!r}"
                )

    def __str__(self) -> str:
        computed = f"{1 - self.removed:.0%} computed"
        return f"MaskSchedule({self.num_steps} steps of {len(self.modules)} modules, {computed})"

    @property
    def num_steps(self) -> int:
        """Steps of the run it is made for."""
        return len(self.modules[0][1])

    def masked(self, modules: Mapping[Key, bool]) -> Mask:
        """As in ``Schedule``."""
        decisions = map(self.decision, range(self.num_steps))
        return frozenset().union(*(each for each in decisions if not isinstance(each, bool)))

    @property
    def removed(self) -> float:
        """Share of all modules' computations, over all steps, that are left out."""
        computed = sum(sum(marks) for _, marks in self.modules)
        return 1 - computed / (len(self.modules) * self.num_steps)

    def decision(self, step: int) -> Decision:
        """What a step is, by its index."""
        mask = frozenset(key_of(name) for name, marks in self.modules if marks[step])
        if len(mask) == len(self.modules):
            return True
        return mask or False

    def start(self, num_steps: int | None) -> Callable[[Step], Decision]:
        """As in ``Schedule``.

        Raises:
            ValueError: The run has another number of steps.
        """
        if num_steps is not None and num_steps != self.num_steps:
            raise ValueError(f"the schedule's masks are of {self.num_steps} steps, got {num_steps}")
        decisions = [self.decision(step) for step in range(self.num_steps)]

        def decide(step: Step) -> Decision:
            if step.index >= len(decisions):
                raise ValueError(
                    f"the schedule's masks are of {self.num_steps} steps, got one more"
                )
            return decisions[step.index]

        # Coming steps can be prepared for, where it is known that no others come.
        if num_steps is not None and all(isinstance(each, bool) for each in decisions):
            return ByIndex(lambda index: decisions[index] is True)
        return decide

    def require(self, modules: Mapping[Key, bool]) -> None:
        """Check that it fits a model.

        Args:
            modules: The model's modules, and whether a mask may compute each of them.

        Raises:
            ValueError: It names a module the model has not, leaves one out, or computes one in a
                step that forecasts others where that cannot be done.
        """
        named = {key_of(name): marks for name, marks in self.modules}
        other, missing = sorted(set(named) - set(modules)), sorted(set(modules) - set(named))
        if other or missing:
            told = f"no module {_words(other)}" if other else f"{_words(missing)}, too"
            raise ValueError(
                f"the schedule must name the model's {len(modules)} modules, got {len(named)}: the "
                f"model has {told}"
            )
        partial = [s for s in range(self.num_steps) if not isinstance(self.decision(s), bool)]
        for key, marks in named.items():
            step = next((s for s in partial if marks[s]), None)
            if step is not None and not modules[key]:
                raise ValueError(
                    f"the schedule must not compute {_words([key])} in a step that forecasts other "
                    "modules, for it needs more than the stream that such steps keep; it does at "
                    f"step {step}"
                )

    def save(self, path: str | pathlib.Path) -> None:
        """Write it in SmoothCache's published layout: a JSON object of lists."""
        rows = (f"    {json.dumps(name)}: {json.dumps(marks)}" for name, marks in self.modules)
        pathlib.Path(path).write_text("{\n" + ",\n".join(rows) + "\n}\n")

    @classmethod
    def load(
        cls,
        path: str | pathlib.Path,
        names: Mapping[str, str] = PUBLISHED_NAMES,
        blocks: int | None = None,
    ) -> "MaskSchedule":
        """Read SmoothCache's published layout.

        Args:
            path: A JSON object of lists, by ``"attn-0"`` for one block or ``"attn"`` for all.
            names: What the file's names are called in the model's description; those that are not
                here are taken as they are.
            blocks: Blocks of the model; needed where the file names modules of all blocks at once.

        Raises:
            ValueError: The file holds something else, or ``blocks`` is missing.
        """
        try:
            found: Any = json.loads(pathlib.Path(path).read_text("utf-8"))
        except ValueError as error:  # neither JSON nor UTF-8
            raise ValueError(f"{path} must be a JSON file: {error}") from None
        if not isinstance(found, dict) or not all(isinstance(row, list) for row in found.values()):
            raise ValueError(f"{path} must hold a JSON object of lists, one for each module")
        modules: list[tuple[str, Sequence[int]]] = []
        for given, marks in found.items():
            name, dash, index = given.rpartition("-")
            if dash and index.isdecimal():
                modules.append((f"{names.get(name, name)}-{index}", marks))
                continue
            if blocks is None:
                raise ValueError(
                    f"blocks must say how many the model has, for {path} names {given!r} of all"
                )
            modules += [(f"{names.get(given, given)}-{block}", marks) for block in range(blocks)]
        return cls(modules=tuple((name, tuple(marks)) for name, marks in modules))


def name_of(key: Key) -> str:
    """``"attn-0"`` of (0, "attn")."""
    block, name = key
    return f"{name}-{block}"


def key_of(name: str) -> Key:
    """(0, "attn") of ``"attn-0"``.

    Raises:
        ValueError: It is no such name.
    """
    module, _, block = name.rpartition("-") if isinstance(name, str) else ("", "", "")
    if not module or not (block.isascii() and block.isdecimal()):
        raise ValueError(f'a module must be named as "attn-0", with its block, got {name!r}')
    return int(block), module


def _words(keys: Sequence[Key]) -> str:
    shown = ", ".join(name_of(key) for key in keys[:4])
    return shown if len(keys) <= 4 else f"{shown} and {len(keys) - 4} more"
