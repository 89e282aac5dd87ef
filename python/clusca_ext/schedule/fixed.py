"""Schedules whose full steps are known before a run: by interval, spread, or named one by one."""

from dataclasses import dataclass

from clusca_ext.checks import flag, integer, integers, numbers
from clusca_ext.schedule.decision import ByIndex


@dataclass(frozen=True, kw_only=True)
class IntervalSchedule:
    """``warmup`` full steps, then every ``interval``-th one: the paper's schedule.

    Full steps are ``0 .. warmup - 1`` and ``warmup - 1 + interval * k`` (ClusCa, arXiv 2509.10312).

    Attributes:
        interval: Steps from one full step to the next.
        warmup: Full steps at the start.
        last_full: Also make the last step full; needs a run whose length is known.
    """

    interval: int = 5
    warmup: int = 3
    last_full: bool = False

    def __post_init__(self) -> None:
        integer("interval", self.interval, 1)
        integer("warmup", self.warmup, 1)
        flag("last_full", self.last_full)

    def is_full(self, step: int, num_steps: int | None = None) -> bool:
        last = self.last_full and num_steps is not None and step == num_steps - 1
        return step < self.warmup or (step - self.warmup + 1) % self.interval == 0 or last

    def start(self, num_steps: int | None) -> ByIndex:
        if self.last_full and num_steps is None:
            raise ValueError(
                "last_full=True needs a run whose number of steps is known: pass timesteps= to "
                "enable_cache, or give it a pipeline"
            )
        return ByIndex(lambda index: self.is_full(index, num_steps))


@dataclass(frozen=True, kw_only=True)
class EvenSchedule:
    """The full steps an interval schedule would take, spread evenly over the run.

    A dense warm-up makes the first derivative from neighbouring steps and uses it over a whole
    interval; even placement gives it the spacing it is used over. Where the run's length is not
    known the full steps are those of ``IntervalSchedule(interval, warmup)``.

    Attributes:
        interval: Interval of the schedule whose number of full steps is matched.
        warmup: Warm-up of that schedule.
        tail: Cached steps after the last full one. On the embedded model each one costs quality:
            one loses 0.4 to 1.0 dB PSNR, five 4 to 7 more (``bench/placement.py``).
    """

    interval: int = 5
    warmup: int = 3
    tail: int = 0

    def __post_init__(self) -> None:
        integer("interval", self.interval, 1)
        integer("warmup", self.warmup, 1)
        integer("tail", self.tail, 0)

    def full_steps(self, num_steps: int) -> tuple[int, ...]:
        budget = IntervalSchedule(interval=self.interval, warmup=self.warmup)
        count = sum(budget.is_full(step) for step in range(num_steps))
        if count <= 1:
            return tuple(range(count))
        last = max(num_steps - 1 - self.tail, count - 1)
        return tuple(round(i * last / (count - 1)) for i in range(count))

    def start(self, num_steps: int | None) -> ByIndex:
        if num_steps is None:
            return IntervalSchedule(interval=self.interval, warmup=self.warmup).start(None)
        full = frozenset(self.full_steps(num_steps))
        return ByIndex(full.__contains__)


@dataclass(frozen=True, kw_only=True)
class ExplicitSchedule:
    """Full steps named one by one, as a search over placements finds them.

    Attributes:
        steps: Indices of the full steps, ascending, the first of them 0.
    """

    steps: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", integers("steps", self.steps, 0))
        if list(self.steps) != sorted(set(self.steps)) or self.steps[:1] != (0,):
            raise ValueError(f"steps must ascend and begin with 0, got {list(self.steps)}")

    def start(self, num_steps: int | None) -> ByIndex:
        if num_steps is not None and self.steps[-1] >= num_steps:
            raise ValueError(f"steps must lie below the run's {num_steps}, got {self.steps[-1]}")
        full = frozenset(self.steps)
        return ByIndex(full.__contains__)


@dataclass(frozen=True, kw_only=True)
class PlacedSchedule:
    """Full steps at given fractions of a run: a placement for runs of any length.

    A fraction f of a run of ``num_steps`` names the step ``round(f * (num_steps - 1))``. Where two
    would share a step the later one moves on; what then lies beyond the run's end moves back. A run
    with fewer steps than there are fractions is all full.

    Attributes:
        fractions: Of the run, in [0, 1], ascending, the first of them 0.
    """

    fractions: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "fractions", numbers("fractions", self.fractions))
        for fraction in self.fractions:
            if not 0 <= fraction <= 1:
                raise ValueError(f"every one of fractions must lie in [0, 1], got {fraction!r}")
        if list(self.fractions) != sorted(set(self.fractions)) or self.fractions[:1] != (0,):
            raise ValueError(f"fractions must ascend and begin with 0, got {list(self.fractions)}")

    def full_steps(self, num_steps: int) -> tuple[int, ...]:
        integer("num_steps", num_steps, 1)
        steps: list[int] = []
        for fraction in self.fractions[:num_steps]:
            wanted = round(fraction * (num_steps - 1))
            steps.append(max(wanted, steps[-1] + 1) if steps else wanted)
        for back, i in enumerate(reversed(range(len(steps)))):
            steps[i] = min(steps[i], num_steps - 1 - back)
        return tuple(steps)

    def with_count(self, count: int) -> "PlacedSchedule":
        """As dense where this one is, with ``count`` full steps: the fractions between, linearly.

        Raises:
            ValueError: ``count`` is below 2, or this schedule has one full step only.
        """
        integer("count", count, 2)
        gaps = len(self.fractions) - 1
        if gaps == 0:
            raise ValueError("with_count needs a schedule of at least 2 fractions, got 1")
        fractions = []
        for i in range(count):
            below, part = divmod(i * gaps, count - 1)
            low, high = self.fractions[below], self.fractions[min(below + 1, gaps)]
            fractions.append(low + (high - low) * part / (count - 1))
        return PlacedSchedule(fractions=tuple(fractions))

    def start(self, num_steps: int | None) -> ByIndex:
        if num_steps is None:
            raise ValueError(
                "PlacedSchedule needs a run whose number of steps is known: pass timesteps= to "
                "enable_cache, or give it a pipeline"
            )
        full = frozenset(self.full_steps(num_steps))
        return ByIndex(full.__contains__)
