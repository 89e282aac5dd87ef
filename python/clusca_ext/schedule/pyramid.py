"""PAB: attention is computed every few steps, each kind at a pace of its own; MLPs always."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clusca_ext.checks import integer, numbers, pairs
from clusca_ext.schedule.decision import Decision, Key, Mask, Step


@dataclass(frozen=True, kw_only=True)
class PyramidSchedule:
    """In the middle of a run, modules of a kind are computed every n-th step (Pyramid Attention
    Broadcast, arXiv 2408.12588); at its ends, all of them.

    Joint attention to text and what is fused with it (``"out"``, of single-stream blocks, their MLP
    included; ``"ip"``, of image prompts) are computed together by default, and the MLPs of other
    blocks always. What is computed while others of these are forecast is given the text of the last
    full step.

    Attributes:
        ranges: Pairs of a module's name, as the adapter calls it, and the steps from one
            computation of it to the next. Modules that are not named are always computed. Names
            that the model does not have are not looked for: models differ in their attention.
        between: Fractions of a run, outside of which every module is computed. The published
            timesteps, 800 down to 100 of 1000, are 0.2 and 0.9 where timesteps are even.
    """

    ranges: tuple[tuple[str, int], ...] = (
        ("attn", 2),
        ("attn2", 2),
        ("out", 2),
        ("ip", 2),
        ("cross", 6),
    )
    between: tuple[float, float] = (0.2, 0.9)

    def __post_init__(self) -> None:
        ranges = pairs("ranges", self.ranges)
        for name, pace in ranges:
            if not isinstance(name, str):
                raise ValueError(f"names of ranges must be strings, got {name!r}")
            integer(f"range of {name!r}", pace, 1)
        object.__setattr__(self, "ranges", ranges)
        object.__setattr__(self, "between", numbers("between", self.between))
        if len(self.between) != 2 or not 0 <= self.between[0] <= self.between[1] <= 1:
            raise ValueError(f"between must be two ascending fractions, got {self.between!r}")

    def require(self, modules: Mapping[Key, bool]) -> None:
        """Check that it fits a model, before the run's middle begins.

        Args:
            modules: The model's modules, and whether a mask may compute each of them.

        Raises:
            ValueError: Some step computes a module while another is forecast, where it cannot.
        """
        names = {name for _, name in modules}
        if not names & dict(self.ranges).keys():
            raise ValueError(f"ranges must name one of {sorted(names)} at least, got {self.ranges}")
        for computed in self._computed(names):
            bound = sorted({name for (_, name), free in modules.items() if not free} & computed)
            if bound and computed != names:
                raise ValueError(
                    f"ranges must not let {bound[0]!r} be computed while others are forecast, for "
                    "it needs more than the stream that such steps keep: name it, with the number "
                    f"of all others that do, got {self.ranges} for {sorted(names)}"
                )

    def masked(self, modules: Mapping[Key, bool]) -> Mask:
        """As in ``Schedule``."""
        names = {name for _, name in modules}
        apart = set[str]().union(*(each for each in self._computed(names) if each != names))
        return frozenset(key for key in modules if key[1] in apart)

    def _computed(self, names: set[str]) -> list[set[str]]:
        """Of these modules, those that are computed at each step of a period."""
        paces = {name: n for name, n in self.ranges if name in names}
        period = range(math.lcm(*paces.values()))
        return [{name for name in names if step % paces.get(name, 1) == 0} for step in period]

    def start(self, num_steps: int | None) -> Callable[[Step], Decision]:
        if num_steps is None:
            raise ValueError(
                "PyramidSchedule needs a run whose number of steps is known: pass timesteps= to "
                "enable_cache, or enable it on the pipeline"
            )
        first, last = (round(fraction * (num_steps - 1)) for fraction in self.between)
        ranges = dict(self.ranges)

        def decide(step: Step) -> Decision:
            if not first <= step.index <= last:
                return True
            due = {name for name, n in ranges.items() if (step.index - first) % n == 0}
            computed = {key for key in step.modules if key[1] not in ranges or key[1] in due}
            return frozenset(computed) if len(computed) < len(step.modules) else True

        return decide
