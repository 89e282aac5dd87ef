"""What a segment's modules forecast for the cached steps up to the next full one, summed at once.

What is kept of a module stays as it is from one full step to the next. Where gates are known, too,
for the timesteps are, all of it is read once for an interval, and each of its cached steps reads
one sum instead.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from clusca_ext import ops
from clusca_ext.executor import ModuleExecutor, Segment
from clusca_ext.forecast import Forecaster
from clusca_ext.plan import ModulationPlan
from clusca_ext.schedule import ByIndex, Decision, Step
from clusca_ext.storage import DeviceConstants, weights_of

MAX_STEPS = 8  # as many as ops.collapse_forecasts_ takes


class Ahead:
    """The sums of a branch's segments."""

    def __init__(self) -> None:
        self._sums: dict[int, Sums] = {}  # by index of the segment
        self._edition = 0  # of the plan

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
        decide: Callable[[Step], Decision],
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
        for index, segment in enumerate(segments):
            if not segment.collapses or step not in plan.known:
                continue
            sums = self._sums.setdefault(index, Sums())
            if not sums.has(step):
                steps = _coming(step, plan, decide)
                gates = plan.gates(steps)[segment.first : segment.first + len(segment.modules)]
                sums.make(steps, _longest(plan, decide), segment.modules, gates, forecaster, on)
            segment.sums, segment.weights = sums.rows, on.of(sums.weights(step))


class Sums:
    """Those of one segment."""

    def __init__(self) -> None:
        self.rows: Tensor | None = None  # [S, B, N, D] float32, of the longest interval so far
        self._steps = range(0)  # of the run, whose sums these are

    def drop(self) -> None:
        self._steps = range(0)

    def bytes(self) -> int:
        return 0 if self.rows is None else self.rows.nbytes

    def has(self, step: int) -> bool:
        """Whether the sum of a step is one of the rows."""
        return self.rows is not None and step in self._steps

    def weights(self, step: int) -> tuple[float, ...]:
        """1 for the row of a step, 0 for others."""
        assert self.rows is not None
        return tuple(float(step - self._steps.start == row) for row in range(len(self.rows)))

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
        weights = weights_of([module.feature for module in modules], steps, forecaster, on)
        rows = self._room(max(longest, len(steps)), factors[0])
        ops.collapse_forecasts_(rows[: len(steps)], factors, gates, weights)
        rows[len(steps) :].zero_()  # of weight 0, which NaN would survive
        self._steps = steps

    def _room(self, count: int, like: Tensor) -> Tensor:
        """Memory for as many steps, where there is none that may be written."""
        rows, shape = self.rows, like.shape[1:]
        if rows is not None and rows.shape[1:] == shape and rows.device == like.device:
            writable = torch.is_inference_mode_enabled() or not rows.is_inference()
            if len(rows) >= count and writable:
                return rows
        self.rows = rows = None  # before there are two
        self.rows = like.new_empty((count, *shape), dtype=torch.float32)
        return self.rows


def _longest(plan: ModulationPlan, decide: ByIndex) -> int:
    """Cached steps of the run's longest interval: with room for these nothing moves in a run."""
    assert plan.timesteps is not None
    longest = count = 0
    for index in range(len(plan.timesteps)):
        count = 0 if decide.is_full(index) else count + 1
        longest = max(longest, count)
    return min(longest, MAX_STEPS)


def _coming(step: int, plan: ModulationPlan, decide: ByIndex) -> range:
    """The cached steps from this one on whose modulation is known."""
    stop = min(plan.known.stop, step + MAX_STEPS)
    full = (index for index in range(step + 1, stop) if decide.is_full(index))
    return range(step, next(full, stop))
