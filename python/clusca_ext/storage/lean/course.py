"""Which full steps the forecast of a coming step is made of, and what it takes of each."""

from bisect import bisect_right

from clusca_ext.forecast import Forecaster, shares_of
from clusca_ext.schedule import ByIndex


class Past:
    """The full steps of a run so far.

    Args:
        forecaster: What makes weights of distances.

    Attributes:
        full: The full steps, ascending.
    """

    def __init__(self, forecaster: Forecaster) -> None:
        self.full: list[int] = []
        self.forecaster = forecaster

    @property
    def order(self) -> int:
        return self.forecaster.order

    def index(self, step: int) -> int:
        """Index of the last full step that is not after a step."""
        return bisect_right(self.full, step) - 1

    def shares(self, step: int) -> dict[int, float]:
        """What a cached step's forecast takes of each full step, by index; of others it is 0."""
        last = self.index(step)
        past = self.full[max(0, last - self.order) : last + 1][::-1]
        spacings = [later - earlier for later, earlier in zip(past, past[1:], strict=False)]
        taken = shares_of(self.forecaster, step - past[0], spacings)
        return {last - age: share for age, share in enumerate(taken) if share != 0}


class Course(Past):
    """The full steps of a run, all of them known.

    Args:
        decide: Which steps are full; the first always is.
        first: Step from which on the run is cached.
        num_steps: Length of the run.
        forecaster: What makes weights of distances.
    """

    def __init__(self, decide: ByIndex, first: int, num_steps: int, forecaster: Forecaster) -> None:
        super().__init__(forecaster)
        self.num_steps = num_steps
        self.full = [s for s in range(first, num_steps) if s == first or decide.is_full(s)]

    def interval(self, index: int) -> range:
        """The cached steps behind a full step."""
        if index >= len(self.full):
            return range(0)
        ends = [*self.full, self.num_steps]
        return range(ends[index] + 1, ends[index + 1])

    def near(self, index: int) -> list[int]:
        """The cached steps that may take something of a full step."""
        intervals = map(self.interval, range(index, index + self.order + 1))
        return [step for interval in intervals for step in interval]

    def served(self, index: int) -> list[int]:
        """The cached steps whose forecast takes something of a full step."""
        return [step for step in self.near(index) if index in self.shares(step)]

    def begun(self, index: int) -> list[int]:
        """Cached steps after a full step of which it, or one before it, knows a part."""
        return [step for step in self.near(index) if min(self.shares(step)) <= index]


class Places:
    """A place for each of some coming steps, used again when these are over.

    Attributes:
        of: The place of a step that is not over.
        ever: That of any step.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.of: dict[int, int] = {}
        self.ever: dict[int, int] = {}

    def assign(self, now: int, steps: list[int]) -> list[int]:
        """Places for the steps that have none: of those that are over, in order."""
        self.of = {step: place for step, place in self.of.items() if step > now}
        taken = set(self.of.values())
        free = iter(place for place in range(self.count) if place not in taken)
        new = []
        for step in steps:
            if step not in self.of:
                self.of[step] = self.ever[step] = next(free)
                new.append(self.of[step])
        return new
