"""SmoothCache (arXiv 2411.10510): masks from how much modules' outputs change between steps."""

import json
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass

from clusca_ext.checks import integer, number
from clusca_ext.schedule import MaskSchedule
from clusca_ext.schedule.masks import key_of

Curve = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ErrorCurves:
    """How much the outputs of modules change from step to step, means over blocks of one kind.

    Attributes:
        num_steps: Steps of the run.
        modules: All modules of the model, by name as in ``MaskSchedule``.
        curves: For each kind of module the errors by gap k = 1, 2, ...: of each step i that of its
            output at step i + k, ``|F(i + k) - F(i)|_1 / |F(i + k)|_1``. One of gap k has
            ``num_steps - k`` values.

    Raises:
        ValueError: A kind has no curves, or one is not of that length.
    """

    num_steps: int
    modules: tuple[str, ...]
    curves: Mapping[str, tuple[Curve, ...]]

    def __post_init__(self) -> None:
        integer("num_steps", self.num_steps, 2)
        object.__setattr__(self, "modules", tuple(self.modules))
        try:
            curves = {name: tuple(map(tuple, rows)) for name, rows in self.curves.items()}
        except (TypeError, AttributeError):
            raise ValueError(f"curves must be lists by kind, got {self.curves!r}") from None
        object.__setattr__(self, "curves", curves)
        kinds = sorted({key_of(name)[1] for name in self.modules})
        if not kinds or sorted(curves) != kinds:
            raise ValueError(f"curves must be of the modules' kinds {kinds}, got {sorted(curves)}")
        for kind, rows in curves.items():
            lengths = [len(row) for row in rows]
            if not rows or lengths != [self.num_steps - 1 - k for k in range(len(rows))]:
                raise ValueError(
                    f"curves of {kind!r} must have {self.num_steps - 1}, {self.num_steps - 2}, ... "
                    f"values, got {lengths}"
                )

    def schedule(self, error_bound: float, max_gap: int | None = None) -> MaskSchedule:
        """Masks by SmoothCache's greedy rule: modules of one kind are computed together.

        From the first step on, a kind is computed and then reused for the longest gap whose error
        is within the bound, and so on; the last step computes everything.

        Args:
            error_bound: Alpha, the largest error of a gap.
            max_gap: Longest gap; default: the longest that was measured.
        """
        number("error_bound", error_bound)
        longest = min(len(rows) for rows in self.curves.values())
        if max_gap is not None:
            integer("max_gap", max_gap, 1, longest)
        marks: dict[str, tuple[int, ...]] = {}
        for kind, rows in self.curves.items():
            computed, step = {0, self.num_steps - 1}, 0
            while step < self.num_steps:
                computed.add(step)
                within = [
                    gap
                    for gap, row in enumerate(rows[:max_gap], 1)
                    if step < len(row) and row[step] <= error_bound
                ]
                step += max(within, default=0) + 1
            marks[kind] = tuple(int(step in computed) for step in range(self.num_steps))
        return MaskSchedule(modules=tuple((name, marks[key_of(name)[1]]) for name in self.modules))

    def save(self, path: str | pathlib.Path) -> None:
        """Write them to a JSON file."""
        plain = {"num_steps": self.num_steps, "modules": self.modules, "curves": self.curves}
        pathlib.Path(path).write_text(json.dumps(plain) + "\n")

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "ErrorCurves":
        """Read them from a JSON file.

        Raises:
            ValueError: The file holds something else.
        """
        try:
            return cls(**json.loads(pathlib.Path(path).read_text("utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} must hold the error curves of a model: {error}") from None
