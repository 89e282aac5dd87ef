"""Operators measured one after the other: ours, plain torch, and a copy of as many bytes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch

from clusca_ext.measuring import operators
from clusca_ext.measuring.rows import Row
from clusca_ext.measuring.shapes import MODELS, Case
from clusca_ext.measuring.timing import caches, is_gpu, median_seconds
from clusca_ext.quiet import QUIET, is_quiet

BUSY = "the machine was not quiet: plain torch's times differ by more than"


@dataclass(frozen=True)
class Measured:
    """A case, with medians in microseconds by implementation.

    Attributes:
        operator: Its name.
        case: Where.
        cache: What caches held: ``"warm"`` or ``"cold"``.
        times: Medians.
        bytes_moved: What must be read and written at least, all passes together.
        quiet: Whether plain torch took as long before ours as after.
        notes: Why an implementation has no time.
    """

    operator: str
    case: Case
    cache: str
    times: dict[str, float]
    bytes_moved: int
    quiet: bool = True
    notes: dict[str, str] = field(default_factory=dict)

    def over(self, name: str) -> float | None:
        """Its time over ours; of a copy, our share of its speed."""
        ours, other = self.times.get("clusca"), self.times.get(name)
        return other / ours if ours and other else None

    @property
    def gigabytes_a_second(self) -> float | None:
        """Of ours: mandatory bytes over its time."""
        ours = self.times.get("clusca")
        return self.bytes_moved / ours / 1e3 if ours else None

    def rows(self) -> list[Row]:
        """As ``bench/results`` has them."""
        shape = f"{self.case.shape} {self.cache}"
        key = {"bench": self.operator, "shape": shape, "dtype": self.case.dtype_name}
        doubt = {} if self.quiet else {"doubt": f"{BUSY} {QUIET - 1:.0%}"}
        found: list[Row] = [
            key
            | {
                "impl": impl,
                "median_us": round(time, 2),
                "gbps": round(self.bytes_moved / time / 1e3, 2),
            }
            | doubt
            for impl, time in self.times.items()
        ]
        return found + [key | {"impl": impl, "note": why} for impl, why in self.notes.items()]


def chosen_cases(
    names: Sequence[str], shapes: Sequence[str], dtypes: Sequence[torch.dtype], device: str
) -> list[tuple[str, Case]]:
    """The first of every operator's choices, at shapes whose names begin with these words.

    Raises:
        ValueError: An operator or a shape is not known, or is too large for a CPU.
    """
    known = [model for model in MODELS if is_gpu(device) or model.on_cpu]
    models = []
    for word in shapes:
        found = [model for model in known if model.name.startswith(word)]
        if not found:
            every = [model.name for model in MODELS if model.name.startswith(word)]
            names_known = [model.name for model in known]
            if every:
                raise ValueError(
                    f"shapes must be some of {names_known} on a CPU, got {word!r}: {every} are too "
                    "large for it"
                )
            raise ValueError(f"shapes must begin like some of {names_known}, got {word!r}")
        models += [model for model in found if model not in models]
    cases = []
    for name in names:
        first = next(case for case in operators.find(name).CASES if not case.choice)
        own = (torch.int32,) if first.dtype == torch.int32 else dtypes
        cases += [
            (name, replace(first, model=model, dtype=dtype, device=device))
            for model in models
            for dtype in own
        ]
    return cases


def measure(
    cases: Sequence[tuple[str, Case]], compiles: bool, quick: bool, begin: Callable[[str], None]
) -> Iterator[Measured]:
    """Every case, as it is measured.

    Args:
        cases: Of ``chosen_cases``.
        compiles: Whether plain torch under ``torch.compile`` is measured, too.
        quick: Three rounds only: to see whether everything runs.
        begin: Told what is measured next.

    Raises:
        AssertionError: Ours and plain torch disagree.
    """
    for name, case in cases:
        for cache in caches(case.device):
            begin(f"{name} {case.label}")
            with torch.no_grad():
                yield _measured(name, case, cache, compiles, quick)


def _measured(name: str, case: Case, cache: str, compiles: bool, quick: bool) -> Measured:
    impls = ["torch", "clusca", *(("compile",) if compiles else ()), "copy"]
    times: dict[str, float] = {}
    try:
        work = operators.find(name).work(case)
        for impl in impls:
            call = work.call(impl, case)
            times[impl] = 1e6 * median_seconds(call, cache, case.device, quick)
        again = 1e6 * median_seconds(work.call("torch", case), cache, case.device, quick)
    except torch.OutOfMemoryError:
        return Measured(name, case, cache, {}, 0, notes=dict.fromkeys(impls, "does not fit"))
    moved = work.bytes_moved * work.passes
    return Measured(name, case, cache, times, moved, is_quiet([again, times["torch"]]))
