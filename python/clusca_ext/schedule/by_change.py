"""Schedules that compute a step when its input has changed enough: TeaCache, FirstBlockCache."""

import math
from dataclasses import dataclass
from typing import ClassVar

from clusca_ext.checks import flag, integer, numbers, threshold
from clusca_ext.config_format import later
from clusca_ext.schedule.decision import AT_ENTRY, Decision, Signal, Step

# What the first block's modulated input tells of the model's output: published polynomials, the
# highest power first (ali-vilab/TeaCache). Those of Wan and CogVideoX are of the timestep's
# embedding, and each of a checkpoint: ``teacache_checkpoints.py``.
TEACACHE_POLYNOMIALS: dict[str, tuple[float, ...]] = {
    "FluxTransformer2DModel": (498.651651, -283.781631, 55.8554382, -3.82021401, 0.264230861),
    "HunyuanVideoTransformer3DModel": (
        733.226126,
        -401.131952,
        67.5869174,
        -3.149878,
        0.0961237896,
    ),
    "LTXVideoTransformer3DModel": (
        21.4700694,
        -12.8016453,
        2.31279151,
        0.792487521,
        0.00969274326,
    ),
    "MochiTransformer3DModel": (
        -3512.41319,
        811.675948,
        -60.9400215,
        2.42429681,
        0.00305291719,
    ),
}
# The lowest threshold that the script of each prints, which is the slower and better one.
TEACACHE_THRESHOLDS: dict[str, float] = {
    "FluxTransformer2DModel": 0.25,  # then 0.4, 0.6, 0.8
    "HunyuanVideoTransformer3DModel": 0.1,  # then 0.15
    "LTXVideoTransformer3DModel": 0.03,  # then 0.05
    "MochiTransformer3DModel": 0.06,  # then 0.09
}


def _bound(name: str, value: int | None) -> None:
    if value is not None:
        integer(name, value, 1)


@dataclass(frozen=True, kw_only=True)
class TeaCacheSchedule:
    """A step is full once the changes of its input since the last one add up (TeaCache, arXiv
    2411.19108); the first step always is, and the last where the run's length is known.

    Attributes:
        threshold: The sum of relative L1 changes from which on a step is full.
        polynomial: What a change of the input is taken for, the highest power first; the identity
            by default. ``TEACACHE_POLYNOMIALS`` has published ones by the model's class, of the
            modulated input, and ``TEACACHE_THRESHOLDS`` what belongs to them;
            ``TEACACHE_CHECKPOINTS`` whole schedules of checkpoints of Wan and CogVideoX, of the
            embedded timestep.
        largest: The largest change the polynomial was fitted to; beyond it, where it may fall to
            anything, changes are taken for this one. None: they are taken as they are (published).
        max_interval: Steps from one full step to the next at most; None: no bound.
        change_of: What is looked at, as ``kind`` of ``Signal``: ``"modulated input"``,
            ``"embedded timestep"`` or, of Wan, ``"projected timestep"``. The latter two, of Wan and
            CogVideoX, cost nothing, and are the same for all samples.
        warmup: Full steps at the start.
        last: Whether the last step is full, where the run's length is known.
    """

    threshold: float = 0.25
    polynomial: tuple[float, ...] = (1.0, 0.0)
    max_interval: int | None = None
    change_of: str = later("modulated input")
    warmup: int = later(1)
    last: bool = later(True)
    largest: float | None = later(None)

    def __post_init__(self) -> None:
        threshold("threshold", self.threshold)
        object.__setattr__(self, "polynomial", numbers("polynomial", self.polynomial))
        for each in self.polynomial:
            threshold("every one of polynomial", each)
        if not self.polynomial:
            raise ValueError("polynomial must have a coefficient at least, got ()")
        _bound("max_interval", self.max_interval)
        if self.largest is not None:
            threshold("largest", self.largest)
            if self.largest <= 0:
                raise ValueError(f"largest must be above 0, got {self.largest!r}")
        if self.change_of not in AT_ENTRY:
            raise ValueError(f"change_of must be one of {list(AT_ENTRY)}, got {self.change_of!r}")
        integer("warmup", self.warmup, 1)
        flag("last", self.last)

    @property
    def signal(self) -> Signal:
        return Signal(self.change_of)

    def start(self, num_steps: int | None) -> "_Accumulating":
        return _Accumulating(self)


class _Accumulating:
    verifies = False

    def __init__(self, of: TeaCacheSchedule) -> None:
        self._threshold, self._polynomial = of.threshold, of.polynomial
        self._warmup, self._last = of.warmup, of.last
        self._largest = math.inf if of.largest is None else of.largest
        self.max_interval = of.max_interval or 0
        self._sum = 0.0

    def __call__(self, step: Step) -> Decision | None:
        ends = step.index < self._warmup or (self._last and step.index + 1 == step.num_steps)
        if ends or _must(step, self.max_interval):
            self._sum = 0.0
            return True
        return None

    def see(self, step: Step, change: float | None) -> Decision:
        if change is None or not math.isfinite(change):
            self._sum = 0.0
            return True
        value, change = 0.0, min(change, self._largest)
        for coefficient in self._polynomial:
            value = value * change + coefficient
        self._sum += value
        if self._sum < self._threshold:
            return False
        self._sum = 0.0
        return True


@dataclass(frozen=True, kw_only=True)
class FirstBlockSchedule:
    """The first block is computed at every step; the others where what it adds has changed by more
    than a threshold since they were (FirstBlockCache of ParaAttention and diffusers).

    Attributes:
        threshold: Relative L1 change of the block's residual from which on a step is full.
        warmup: Full steps at the start.
        max_interval: Steps from one full step to the next at most; None: no bound.
    """

    threshold: float = 0.05
    warmup: int = 1
    max_interval: int | None = None

    signal: ClassVar[Signal] = Signal("first block")

    def __post_init__(self) -> None:
        threshold("threshold", self.threshold)
        integer("warmup", self.warmup, 1)
        _bound("max_interval", self.max_interval)

    def start(self, num_steps: int | None) -> "_Comparing":
        return _Comparing(self.threshold, self.warmup, self.max_interval or 0)


class _Comparing:
    verifies = False

    def __init__(self, threshold: float, warmup: int, max_interval: int) -> None:
        self._threshold, self._warmup = threshold, warmup
        self.max_interval = max_interval

    def __call__(self, step: Step) -> Decision | None:
        return True if step.index < self._warmup or _must(step, self.max_interval) else None

    def see(self, step: Step, change: float | None) -> Decision:
        return change is None or change > self._threshold


def _must(step: Step, max_interval: int) -> bool:
    """Whether a step is full whatever it shows: it is the first, or the last that may be."""
    if step.last_full is None:
        return True
    return bool(max_interval) and step.index - step.last_full >= max_interval
