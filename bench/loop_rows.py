"""The rows of a loop's table: which methods, on which full steps, most valuable first."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from clusca_ext import (
    ClusCaConfig,
    EvenSchedule,
    ExplicitSchedule,
    IntervalSchedule,
    LeanStorage,
    NoCorrection,
)
from clusca_ext.measuring.models import Model
from clusca_ext.schedule import Schedule, Step
from methods import Method, clusca, compiled, in_torch, left_out, no_cache
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
# Outputs of every module are kept. Where memory does not suffice for them, a full step or more may
# pass before that is noticed.
OF_EVERY_MODULE = (
    "clusca, forecast only",
    "clusca",
    "clusca, the paper's",
    "the paper's, torch",
    "diffusers, TaylorSeer, every module",
    "diffusers, TaylorSeer",
)


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
        config: Of our cache; None: another's, or none.
    """

    name: str
    steps: int
    method: Method
    full: frozenset[int]
    is_graphed: bool = True
    is_last: bool = False
    config: ClusCaConfig | None = None

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


def rows_of(model: Model, interval: int, steps: int, compiles: bool) -> Iterator[Row]:
    """All rows of an interval, with equally many full steps.

    Args:
        model: What they are of.
        interval: Of the schedule.
        steps: Of the loop.
        compiles: Also the paper's with its sums compiled, as its code has them.
    """
    even = EvenSchedule(interval=interval)
    count = len(full_steps(even, steps))
    dense = IntervalSchedule(interval=interval, warmup=even.warmup)
    yield from _rows(model, even, dense, interval, steps, compiles)
    yield Row("fewer steps", count, no_cache, frozenset(range(count)))


def composed_rows(model: Model) -> Iterator[Row]:
    """The same methods in a loop of few steps, of which longer ones can be composed.

    What keeps outputs of every module comes late, the rows that are most likely to fit first.
    """
    explicit = ExplicitSchedule(steps=COMPOSED_FULL)
    found = _rows(model, explicit, explicit, COMPOSED_STEPS, COMPOSED_STEPS, compiles=False)
    yield from sorted(found, key=lambda row: (row.is_last, row.name in OF_EVERY_MODULE))


def _rows(
    model: Model, even: Schedule, dense: Schedule, interval: int, steps: int, compiles: bool
) -> Iterator[Row]:
    """Ours are spread evenly, as is its default; the paper's are dense at first, as is its."""
    full, at_first = full_steps(even, steps), full_steps(dense, steps)
    for name, choices in OURS.items():
        if name != OF_SHARED_GATES or model.shares_gates:
            config = ClusCaConfig(schedule=even, **choices)
            yield Row(name, steps, clusca(config), full, config=config)
    # The paper's settings, save that warm-up is as long as that of the others.
    theirs, why = None, f"ClusCaConfig.paper has no settings for {model.cls}"
    if model.paper is not None:
        theirs = dataclasses.replace(ClusCaConfig.paper(model.paper), schedule=dense)

    def of_paper(method: Callable[[ClusCaConfig], Method]) -> Method:
        return left_out(why) if theirs is None else method(theirs)

    yield Row("clusca, the paper's", steps, of_paper(clusca), at_first, config=theirs)
    yield Row("the paper's, torch", steps, of_paper(in_torch), at_first)
    # Of diffusers' warm-up the last step is cached: two make as many full steps as three do here.
    taylor = taylorseer_steps(2, interval, steps)
    for name, choices in TAYLORSEERS.items():
        method = taylorseer(2, interval, **choices)
        yield Row(f"diffusers, TaylorSeer{name}", steps, method, taylor)
    name = "diffusers, FirstBlockCache, steps given"
    yield Row(name, steps, first_block_cache(full), full, is_graphed=False)
    if compiles:
        name = "the paper's, torch, sums compiled"
        yield Row(name, steps, of_paper(lambda each: in_torch(each, compiled())), at_first)
    for blocks in (8, 1):  # its default, and its fastest
        name = f"cache-dit, DBCache F{blocks}B0, TaylorSeer"
        method = of_cache_dit(blocks, full)
        yield Row(name, steps, method, full, is_graphed=False, is_last=True)


OF_SHARED_GATES = "clusca, lean shared-emb, forecast only"
FORECAST_ONLY = {"corrector": NoCorrection()}
OURS: dict[str, dict[str, Any]] = {  # what they choose of the default
    "clusca": {},
    "clusca, forecast only": FORECAST_ONLY,
    "clusca, lean, forecast only": {"storage": LeanStorage(), **FORECAST_ONLY},
    "clusca, lean": {"storage": LeanStorage()},
    "clusca, lean exact, forecast only": {"storage": LeanStorage(basis="exact"), **FORECAST_ONLY},
    "clusca, lean gated, forecast only": {"storage": LeanStorage(basis="gated"), **FORECAST_ONLY},
    OF_SHARED_GATES: {"storage": LeanStorage(basis="shared-emb"), **FORECAST_ONLY},
    "clusca, lean on the host, forecast only": {
        "storage": LeanStorage(offload=True),
        **FORECAST_ONLY,
    },
}
TAYLORSEERS = {
    ", every module": {"cache_identifiers": FORECAST, "skip_predict_identifiers": SKIPPED},
    " lite": {"use_lite_mode": True},
    "": {},
}
