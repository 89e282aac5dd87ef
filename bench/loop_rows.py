"""The rows of a loop's table: which methods, on which full steps, most valuable first."""

import dataclasses
from collections.abc import Iterator

from clusca_ext import (
    ClusCaConfig,
    EvenSchedule,
    ExplicitSchedule,
    IntervalSchedule,
    NoCorrection,
)
from clusca_ext.schedule import Schedule, Step
from methods import Method, clusca, compiled, in_torch, no_cache
from peer_methods import (
    FORECAST,
    SKIPPED,
    first_block_cache,
    of_cache_dit,
    taylorseer,
    taylorseer_steps,
)

BASELINE = "no cache"
# What is measured where a whole loop takes too long: three full steps and five cached ones.
COMPOSED_STEPS, COMPOSED_FULL = 8, (0, 1, 2)
# Their memory grows in full steps: where it does not suffice, that takes them long to notice.
GROWING = ("the paper's, torch", "diffusers, TaylorSeer, every module", "diffusers, TaylorSeer")


@dataclasses.dataclass(frozen=True)
class Row:
    """A way to run the loop.

    Attributes:
        name: What results call it.
        steps: Steps of its loop.
        method: What the model has meanwhile.
        full: The steps on which the last block is to be computed.
        is_graphed: Whether a cached step is also captured: not where each asks the host.
        is_last: It must come after all others: it leaves the model's forward exchanged.
    """

    name: str
    steps: int
    method: Method
    full: frozenset[int]
    is_graphed: bool = True
    is_last: bool = False

    @property
    def cached(self) -> list[int]:
        return [step for step in range(self.steps) if step not in self.full]

    @property
    def steady(self) -> int:
        """The first step that has seen two full ones and is cached, or the second one."""
        first = sorted(self.full)[:2]
        return next((step for step in self.cached if step > first[-1]), first[-1])

    def interval(self, step: int) -> range:
        """The cached steps around one of them, up to a full one before and behind it."""
        assert step in self.cached, step
        first = last = step
        while first - 1 in self.cached:
            first -= 1
        while last + 1 in self.cached:
            last += 1
        return range(first, last + 1)

    @property
    def warmup(self) -> int:
        """How many steps a short warm-up has. Compiled sums see what they generalise from."""
        return self.steady + (3 if self.cached else 1)


def full_steps(schedule: Schedule, steps: int) -> frozenset[int]:
    decide = schedule.start(steps)
    return frozenset(step for step in range(steps) if decide(Step(step, steps)))


def baseline(steps: int) -> Row:
    return Row(BASELINE, steps, no_cache, frozenset(range(steps)))


def rows_of(paper: str, interval: int, steps: int, compiles: bool) -> Iterator[Row]:
    """All rows of an interval, with equally many full steps.

    Args:
        paper: What ``ClusCaConfig.paper`` calls the model's family.
        interval: Of the schedule.
        steps: Of the loop.
        compiles: Also the paper's with its sums compiled, as its code has them.
    """
    even = EvenSchedule(interval=interval)
    count = len(full_steps(even, steps))
    dense = IntervalSchedule(interval=interval, warmup=even.warmup)
    yield from _rows(paper, even, dense, interval, steps, compiles)
    yield Row("fewer steps", count, no_cache, frozenset(range(count)))


def composed_rows(paper: str) -> Iterator[Row]:
    """The same methods in a loop of few steps, of which longer ones can be composed."""
    explicit = ExplicitSchedule(steps=COMPOSED_FULL)
    found = _rows(paper, explicit, explicit, COMPOSED_STEPS, COMPOSED_STEPS, compiles=False)
    yield from sorted(found, key=lambda row: (row.is_last, row.name in GROWING))


def _rows(
    paper: str, even: Schedule, dense: Schedule, interval: int, steps: int, compiles: bool
) -> Iterator[Row]:
    """Ours are spread evenly, as is its default; the paper's are dense at first, as is its."""
    full, at_first = full_steps(even, steps), full_steps(dense, steps)
    yield Row("clusca", steps, clusca(ClusCaConfig(schedule=even)), full)
    forecast = ClusCaConfig(schedule=even, corrector=NoCorrection())
    yield Row("clusca, forecast only", steps, clusca(forecast), full)
    # The paper's settings, save that warm-up is as long as that of the others.
    theirs = dataclasses.replace(ClusCaConfig.paper(paper), schedule=dense)
    yield Row("clusca, the paper's", steps, clusca(theirs), at_first)
    yield Row("the paper's, torch", steps, in_torch(theirs), at_first)
    # Of diffusers' warm-up the last step is cached: two make as many full steps as three do here.
    taylor = taylorseer_steps(2, interval, steps)
    for name, choices in TAYLORSEERS.items():
        method = taylorseer(2, interval, **choices)
        yield Row(f"diffusers, TaylorSeer{name}", steps, method, taylor)
    name = "diffusers, FirstBlockCache, steps given"
    yield Row(name, steps, first_block_cache(full), full, is_graphed=False)
    if compiles:
        name = "the paper's, torch, sums compiled"
        yield Row(name, steps, in_torch(theirs, compiled()), at_first)
    for blocks in (8, 1):  # its default, and its fastest
        name = f"cache-dit, DBCache F{blocks}B0, TaylorSeer"
        method = of_cache_dit(blocks, full)
        yield Row(name, steps, method, full, is_graphed=False, is_last=True)


TAYLORSEERS = {
    ", every module": {"cache_identifiers": FORECAST, "skip_predict_identifiers": SKIPPED},
    " lite": {"use_lite_mode": True},
    "": {},
}
