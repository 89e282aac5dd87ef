"""What a segment's modules forecast for the cached steps up to the next full one, summed at once.

What is kept of a module stays as it is from one full step to the next. Where gates are known, too,
for the timesteps are, all of it is read once for an interval, and each of its cached steps reads
one sum instead. A step's sum is named by weights, one of which is 1: a graph of the step may read
the same memory at every step.
"""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor

from clusca_ext import ops
from clusca_ext.executor import ModuleExecutor, Segment
from clusca_ext.forecast import Forecaster
from clusca_ext.plan import ModulationPlan
from clusca_ext.schedule import ByIndex, Decision, Step
from clusca_ext.storage.constants import DeviceConstants
from clusca_ext.storage.feature import Feature, weights_of

MAX_STEPS = 8  # as many as ops.collapse_forecasts_ takes


class Ahead:
    """The sums of a branch's segments."""

    def __init__(self) -> None:
        self._sums: dict[int, Sums] = {}  # by index of the segment
        self._edition = 0  # of the plan
        self._longest: tuple[object, int] = (None, 0)  # of whose decisions, the longest interval

    def drop(self) -> None:
        """What they are sums of changes."""
        for sums in self._sums.values():
            sums.drop()

    def release(self) -> None:
        self._sums.clear()

    def bytes(self) -> int:
        return sum(sums.bytes() for sums in self._sums.values())

    def use(
        self,
        step: int,
        segments: Sequence[Segment],
        plan: ModulationPlan,
        decide: Callable[[Step], Decision | None],
        forecaster: Forecaster,
        on: DeviceConstants,
    ) -> None:
        """Give segments the sum of a cached step.

        Where coming steps are not known beforehand segments sum at their end. One that has no other
        behind it, or whose conditions are made anew at each step, is summed here, too: compiled
        code has a graph for each way.
        """
        if not isinstance(decide, ByIndex):
            return
        if plan.edition != self._edition:
            self.drop()
            self._edition = plan.edition
        if self._longest[0] is not decide:
            self._longest = decide, longest_interval(decide, plan.num_steps)
        for index, segment in enumerate(segments):
            if not segment.collapses or step not in plan.known:
                continue
            sums = self._sums.setdefault(index, Sums())
            if not sums.has(step):
                steps = _coming(step, plan, decide)
                gates = plan.gates(steps)[segment.first : segment.first + len(segment.modules)]
                sums.make(steps, self._longest[1], segment.modules, gates, forecaster, on)
            segment.sums, segment.weights = sums.at(step, on)


class Sums:
    """Those of one segment."""

    def __init__(self) -> None:
        self._rows: Tensor | None = None  # [S, B, N, D] float32, for the longest interval
        self._steps = range(0)  # of the run, whose sums these are

    def drop(self) -> None:
        self._steps = range(0)

    def bytes(self) -> int:
        return 0 if self._rows is None else self._rows.nbytes

    def has(self, step: int) -> bool:
        return self._rows is not None and step in self._steps

    def at(self, step: int, on: DeviceConstants) -> tuple[Tensor, Tensor]:
        """All sums [S, B, N, D], and weights [S, B] that take the step's."""
        assert self._rows is not None
        S, B = self._rows.shape[:2]
        row = step - self._steps.start
        return self._rows, on.of(tuple(float(s == row) for s in range(S))).view(S, 1).expand(S, B)

    def make(
        self,
        steps: range,
        longest: int,
        modules: Sequence[ModuleExecutor],
        gates: Sequence[Tensor | None],
        forecaster: Forecaster,
        on: DeviceConstants,
    ) -> None:
        """Sum what modules forecast for S steps, behind their gates [S, B, D] or [S, 1, D]."""
        factors = [module.factors for module in modules]
        features = cast(list[Feature], [module.feature for module in modules])
        weights = weights_of(features, steps, forecaster, on)
        rows = self._room(max(longest, len(steps)), factors[0])
        ops.collapse_forecasts_(rows[: len(steps)], factors, gates, weights)
        self._steps = steps

    def _room(self, count: int, like: Tensor) -> Tensor:
        """Memory for as many steps, where there is none that may be written."""
        rows, shape = self._rows, like.shape[1:]
        if rows is not None and rows.shape[1:] == shape and rows.device == like.device:
            writable = torch.is_inference_mode_enabled() or not rows.is_inference()
            if len(rows) >= count and writable:
                return rows
        self._rows = rows = None  # before there are two
        self._rows = like.new_empty((count, *shape), dtype=torch.float32)
        return self._rows


def longest_interval(decide: ByIndex, num_steps: int) -> int:
    """Cached steps of the longest interval of a run, as far as they are summed at once."""
    longest = length = 0
    for step in range(num_steps):
        length = 0 if decide.is_full(step) else length + 1
        longest = max(longest, length)
    return min(longest, MAX_STEPS)


def _coming(step: int, plan: ModulationPlan, decide: ByIndex) -> range:
    """The cached steps from this one on whose modulation is known."""
    stop = min(plan.known.stop, step + MAX_STEPS)
    full = (index for index in range(step + 1, stop) if decide.is_full(index))
    return range(step, next(full, stop))
