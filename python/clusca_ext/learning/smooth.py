"""SmoothCache (arXiv 2411.10510): masks from how much modules' outputs change between steps."""

import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from clusca_ext.checks import integer, number, threshold
from clusca_ext.schedule import MaskSchedule
from clusca_ext.schedule.masks import key_of

Curve = tuple[float, ...]
BY = ("kind", "module")


@dataclass(frozen=True, kw_only=True)
class ErrorCurves:
    """How much the output of every module of a model changes from step to step.

    Attributes:
        num_steps: Steps of the run.
        curves: Of all modules of the model, by name as in ``MaskSchedule``, the errors by gap
            k = 1, 2, ...: of each step i that of its output at step i + k,
            ``|F(i + k) - F(i)|_1 / |F(i + k)|_1``. One of gap k has ``num_steps - k`` values.
        together: Modules that no mask computes alone, as MLPs that run on text, too: a step that
            computes one of them computes all modules.

    Raises:
        ValueError: There is no module, one's curves are not of that length, or one of ``together``
            has none.
    """

    num_steps: int
    curves: Mapping[str, tuple[Curve, ...]]
    together: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        integer("num_steps", self.num_steps, 2)
        try:
            curves = {name: tuple(map(tuple, rows)) for name, rows in self.curves.items()}
        except (TypeError, AttributeError):
            raise ValueError(f"curves must be lists by module, got {self.curves!r}") from None
        object.__setattr__(self, "curves", curves)
        if not curves:
            raise ValueError("curves must be of one module at least, got none")
        object.__setattr__(self, "together", tuple(self.together))
        unknown = [name for name in self.together if name not in curves]
        if unknown:
            raise ValueError(f"together must be modules that have curves, got {unknown}")
        gaps = len(next(iter(curves.values())))
        expected = [self.num_steps - gap for gap in range(1, gaps + 1)]
        for name, rows in curves.items():
            key_of(name)
            lengths = [len(row) for row in rows]
            if not gaps or lengths != expected:
                raise ValueError(
                    f"curves of {name!r} must have {self.num_steps - 1}, {self.num_steps - 2}, ... "
                    f"values, of as many gaps as all others', which have {gaps}, got {lengths}"
                )

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of all modules."""
        return tuple(self.curves)

    @property
    def kinds(self) -> dict[str, tuple[Curve, ...]]:
        """The curves of each kind of module, means over blocks."""
        of: dict[str, list[tuple[Curve, ...]]] = {}
        for name, rows in self.curves.items():
            of.setdefault(key_of(name)[1], []).append(rows)
        return {kind: tuple(map(_mean, zip(*several, strict=True))) for kind, several in of.items()}

    def schedule(
        self, error_bound: float, max_gap: int | None = None, by: str = "kind"
    ) -> MaskSchedule:
        """Masks by SmoothCache's greedy rule.

        From the first step on, a module is computed and then reused for the longest gap whose error
        is within the bound, and so on; the last step computes everything, and so does one at which
        a module of ``together`` is due.

        Args:
            error_bound: Alpha, the largest error of a gap.
            max_gap: Longest gap; default: the longest that was measured.
            by: ``"kind"``: by the mean error of modules of one kind, which are computed together,
                as published; ``"module"``: each by its own.
        """
        threshold("error_bound", error_bound)
        if max_gap is not None:
            integer("max_gap", max_gap, 1, len(next(iter(self.curves.values()))))
        return self._masks(self._by(by), error_bound, max_gap, by)

    def _masks(
        self, of: Mapping[str, tuple[Curve, ...]], error_bound: float, max_gap: int | None, by: str
    ) -> MaskSchedule:
        row = {name: name if by == "module" else key_of(name)[1] for name in self.curves}
        together, last = {row[name] for name in self.together}, self.num_steps - 1
        next_of = dict.fromkeys(of, 0)
        marks: dict[str, list[int]] = {name: [] for name in of}
        for step in range(self.num_steps):
            due = {name for name in of if next_of[name] == step}
            everything = step == last or not due.isdisjoint(together)
            for name, rows in of.items():
                computed = everything or name in due
                marks[name].append(int(computed))
                if computed:
                    next_of[name] = step + 1 + _gap(rows[:max_gap], step, error_bound)
        return MaskSchedule(modules=tuple((name, tuple(marks[row[name]])) for name in self.curves))

    def schedules(self, max_gap: int | None = None, by: str = "kind") -> Iterator[MaskSchedule]:
        """By the same rule, those of all error bounds that make a difference, ascending."""
        of = self._by(by)
        bounds = {error for rows in of.values() for row in rows[:max_gap] for error in row}
        for bound in [0.0, *sorted(bounds)]:
            yield self._masks(of, bound, max_gap, by)

    def leaving_out(
        self, share: float, max_gap: int | None = None, by: str = "kind"
    ) -> MaskSchedule:
        """The masks of the error bound that leaves out what comes nearest to a share.

        Args:
            share: Of all computations of the run, as ``MaskSchedule.removed``.
            max_gap: As in ``schedule``.
            by: As in ``schedule``.
        """
        number("share", share)
        if not 0 <= share <= 1:
            raise ValueError(f"share must be in [0, 1], got {share!r}")
        return min(self.schedules(max_gap, by), key=lambda masks: abs(masks.removed - share))

    def _by(self, by: str) -> Mapping[str, tuple[Curve, ...]]:
        if by not in BY:
            raise ValueError(f"by must be one of {list(BY)}, got {by!r}")
        return self.curves if by == "module" else self.kinds

    def save(self, path: str | pathlib.Path) -> None:
        """Write them to a JSON file."""
        plain = {"num_steps": self.num_steps, "curves": self.curves, "together": self.together}
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


def _gap(rows: Sequence[Curve], step: int, error_bound: float) -> int:
    """Steps for which what a step computes is reused."""
    gaps = enumerate(rows, 1)
    within = [gap for gap, row in gaps if step < len(row) and row[step] <= error_bound]
    return max(within, default=0)


def _mean(several: Sequence[Curve]) -> Curve:
    return tuple(sum(errors) / len(errors) for errors in zip(*several, strict=True))
