"""AdaCache: how much a block's residual changed says how many steps are skipped next."""

from dataclasses import dataclass

from clusca_ext.checks import index, integer, integers, numbers, pairs, threshold
from clusca_ext.schedule.decision import Decision, Signal, Step

# (change below which, steps from this full step to the next): the fast codebooks that the paper's
# appendix prints for Open-Sora, of 100 and of 30 steps. Other models may need bounds of their own.
CODEBOOK_100 = ((0.03, 12), (0.05, 10), (0.07, 8), (0.09, 6), (0.11, 4), (1.0, 3))
CODEBOOK_30 = ((0.08, 6), (0.16, 5), (0.24, 4), (0.32, 3), (0.4, 2), (1.0, 1))


@dataclass(frozen=True, kw_only=True)
class AdaCacheSchedule:
    """After every full step, a codebook says how far the next one is (AdaCache, arXiv 2411.02397).

    The change is that of what one block adds to its stream, relative L1, from one full step to the
    next, for every step between them. Motion regularisation is not part of this.

    Attributes:
        codebook: Pairs of a change and the interval for what lies below it, ascending; beyond the
            last one every step is full.
        block: Index of the block that is looked at; negative: from the last one; None: the middle.
        warmup: Full steps at the start.
    """

    codebook: tuple[tuple[float, int], ...] = CODEBOOK_30
    block: int | None = None
    warmup: int = 2

    def __post_init__(self) -> None:
        book = pairs("codebook", self.codebook)
        changes = list(numbers("changes of codebook", (change for change, _ in book)))
        for change in changes:
            threshold("every one of changes of codebook", change)
        integers("intervals of codebook", (interval for _, interval in book), 1)
        if not book or changes != sorted(set(changes)):
            raise ValueError(f"changes of codebook must ascend, got {changes}")
        object.__setattr__(self, "codebook", tuple((float(a), b) for a, b in book))
        integer("warmup", self.warmup, 2)  # to see a change
        if self.block is not None:
            index("block", self.block)

    @property
    def signal(self) -> Signal:
        return Signal("residual", self.block)

    def start(self, num_steps: int | None) -> "_Booked":
        return _Booked(self)


class _Booked:
    verifies = False

    def __init__(self, of: AdaCacheSchedule) -> None:
        self._of = of
        self.max_interval = max(interval for _, interval in of.codebook)
        self._interval = 1

    def __call__(self, step: Step) -> Decision | None:
        if step.last_full is None:  # nothing to compare with, as where inputs have a new shape
            self._interval = 1
            return True
        if step.index < self._of.warmup:
            return True
        return step.index - step.last_full >= self._interval

    def see(self, step: Step, change: float | None) -> Decision:
        self._interval = 1
        if change is not None:
            intervals = (n for bound, n in self._of.codebook if change < bound)
            self._interval = next(intervals, 1)
        return True
