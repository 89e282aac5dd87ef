"""PAB: attention is computed every few steps, each kind at a pace of its own; MLPs always."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from clusca_ext.checks import integer, numbers, pairs
from clusca_ext.config_format import later
from clusca_ext.schedule.decision import Decision, Key, Mask, Step

_LONGEST = 10_000  # steps of a run


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
        between: Fractions of a run, outside of which every module is computed.
        between_timesteps: Timesteps instead, as those of the run are, themselves outside; published
            are 100 and 800 of 1000, which where timesteps are even are the fractions 0.2 and 0.9.
    """

    ranges: tuple[tuple[str, int], ...] = (
        ("attn", 2),
        ("attn2", 2),
        ("out", 2),
        ("ip", 2),
        ("cross", 6),
    )
    between: tuple[float, float] = (0.2, 0.9)
    between_timesteps: tuple[float, float] | None = later(None)

    def __post_init__(self) -> None:
        ranges = pairs("ranges", self.ranges)
        for name, pace in ranges:
            if not isinstance(name, str):
                raise ValueError(f"names of ranges must be strings, got {name!r}")
            integer(f"range of {name!r}", pace, 1)
        names = [name for name, _ in ranges]
        if len(set(names)) < len(names):
            raise ValueError(f"ranges must name a module once, got {self.ranges}")
        object.__setattr__(self, "ranges", ranges)
        object.__setattr__(self, "between", numbers("between", self.between))
        if len(self.between) != 2 or not 0 <= self.between[0] <= self.between[1] <= 1:
            raise ValueError(f"between must be two ascending fractions, got {self.between!r}")
        if self.between_timesteps is None:
            return
        bounds = numbers("between_timesteps", self.between_timesteps)
        object.__setattr__(self, "between_timesteps", bounds)
        if len(bounds) != 2 or not 0 <= bounds[0] < bounds[1]:
            raise ValueError(f"between_timesteps must be two ascending timesteps, got {bounds!r}")

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
        """Of these modules, those that are computed at each step of a period, or a long run."""
        paces = {name: n for name, n in self.ranges if name in names}
        period = range(min(math.lcm(*paces.values()), _LONGEST))
        return [{name for name in names if step % paces.get(name, 1) == 0} for step in period]

    def start(self, num_steps: int | None) -> Callable[[Step], Decision]:
        if num_steps is None:
            raise ValueError(
                "PyramidSchedule needs a run whose number of steps is known: pass timesteps= to "
                "enable_cache, or enable it on the pipeline"
            )
        middle = None
        if self.between_timesteps is None:
            first, last = (round(fraction * (num_steps - 1)) for fraction in self.between)
            middle = range(first, last + 1)
        return _Broadcasting(dict(self.ranges), middle, self.between_timesteps)


class _Broadcasting:
    """Decisions of one run."""

    def __init__(
        self, ranges: Mapping[str, int], middle: range | None, bounds: tuple[float, float] | None
    ) -> None:
        self._ranges, self._middle, self._bounds = ranges, middle, bounds

    def __call__(self, step: Step) -> Decision:
        if self._middle is None:
            assert self._bounds is not None
            self._middle = _inside(self._bounds, step.timesteps)
        if step.index not in self._middle:
            return True
        since, ranges = step.index - self._middle.start, self._ranges
        due = {name for name, n in ranges.items() if since % n == 0}
        computed = {key for key in step.modules if key[1] not in ranges or key[1] in due}
        return frozenset(computed) if len(computed) < len(step.modules) else True


def _inside(bounds: tuple[float, float], timesteps: Tensor | None) -> range:
    """The steps between these timesteps, which the host reads once a run."""
    if timesteps is None:
        raise ValueError(
            f"between_timesteps must be None in a run whose timesteps are not known, got {bounds}: "
            "pass timesteps= to enable_cache, enable it on the pipeline, or take between="
        )
    low, high = bounds
    known: list[float] = timesteps.tolist()
    fractions = max(known) <= 1 and any(0 < timestep < 1 for timestep in known)
    if (fractions and low >= 1) or high <= 1 < max(known):
        raise ValueError(
            "between_timesteps must be in the units of the run's timesteps, which are of "
            f"{min(known):g} to {max(known):g}, got {bounds}"
        )
    steps = [step for step, timestep in enumerate(known) if low < timestep < high]
    return range(steps[0], steps[-1] + 1) if steps else range(0)
