"""What was seen of one run."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from clusca_ext.recording import limits
from clusca_ext.recording.packing import unpack
from clusca_ext.recording.pictures import require_data_uri
from clusca_ext.recording.reading import Fields

KINDS = ("full", "cached", "partial")


@dataclass(frozen=True)
class Step:
    """One step of the sampler.

    Attributes:
        kind: ``"full"``, ``"cached"`` or ``"partial"``; ``"partial"`` also where samples differ.
        seconds: All calls of the model of this step, the device waited for.
        by_sample: The kind of each sample's, where a schedule decides for each; else empty.
    """

    kind: str
    seconds: float
    by_sample: tuple[str, ...] = ()

    @classmethod
    def read(cls, of: Fields) -> "Step":
        of.only("kind", "seconds", "by_sample")
        by_sample = of.texts("by_sample", 4096)
        return cls(of.text("kind", KINDS), of.number("seconds"), by_sample)


@dataclass(frozen=True)
class MapOfStep:
    """Where clusters and representatives lie at one step.

    Attributes:
        step: Its index.
        labels: Of each sample that is recorded, which of ``Maps.labels`` holds; -1: there are none.
        representatives: Of each sample the tokens computed, packed (``packing.py``); empty: all
            tokens are, or none.
    """

    step: int
    labels: tuple[int, ...]
    representatives: tuple[str, ...]

    @classmethod
    def read(cls, of: Fields) -> "MapOfStep":
        of.only("step", "labels", "representatives")
        labels = of.list("labels", limits.SAMPLES)
        if not all(isinstance(each, int) and each >= -1 for each in labels):
            raise ValueError(f"{of.where}.labels must be integers of at least -1, got {labels!r}")
        tokens = of.texts("representatives", limits.SAMPLES)
        for each in tokens:
            unpack(each)
        return cls(of.integer("step"), tuple(labels), tokens)


@dataclass(frozen=True)
class Maps:
    """Clusters and representatives on the grid of tokens, the first samples of the batch.

    Attributes:
        grid: Height and width, in tokens.
        frame: Which frame of a video it is.
        frames: How many frames there are; 1: it is a picture.
        labels: Cluster of every token, packed: row by row, 65535 where it is in none.
        steps: Full steps whose tokens were clustered, and steps that computed representatives.
    """

    grid: tuple[int, int]
    frame: int
    frames: int
    labels: tuple[str, ...]
    steps: tuple[MapOfStep, ...]

    @classmethod
    def read(cls, of: Fields) -> "Maps":
        of.only("grid", "frame", "frames", "labels", "steps")
        grid = of.integers("grid", 2)
        if len(grid) != 2 or not 0 < math.prod(grid) <= limits.TOKENS:
            raise ValueError(
                f"{of.where}.grid must be a height and a width of at most {limits.TOKENS} tokens, "
                f"got {list(grid)}"
            )
        labels = of.texts("labels", limits.MAPS * limits.SAMPLES)
        for index, each in enumerate(labels):
            if len(unpack(each)) != math.prod(grid):
                raise ValueError(
                    f"{of.where}.labels[{index}] must hold {math.prod(grid)} tokens, got "
                    f"{len(unpack(each))}"
                )
        steps = of.each("steps", limits.MAPS, MapOfStep.read)
        for step in steps:
            _require_fit(step, len(labels), math.prod(grid), of.where)
        frame, frames = of.integer("frame"), of.integer("frames", 1)
        return cls((grid[0], grid[1]), frame, frames, labels, steps)


def _require_fit(step: MapOfStep, maps: int, tokens: int, where: str) -> None:
    place = f"the map of step {step.step} in {where}"
    if any(label >= maps for label in step.labels):
        raise ValueError(f"{place} must name one of {maps} label maps, got {list(step.labels)}")
    outside = [t for each in step.representatives for t in unpack(each) if not -1 <= t < tokens]
    if outside:
        raise ValueError(f"{place} must name tokens below {tokens}, got {outside[0]}")


@dataclass(frozen=True)
class Drift:
    """How much something of every block has changed: relative L2 distance, mean of its modules.

    Attributes:
        blocks: Indices of the blocks.
        steps: Where it was seen again.
        since: Of each of them, the step it is compared with.
        values: Of each of them, of every block.
    """

    blocks: tuple[int, ...]
    steps: tuple[int, ...]
    since: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]

    @classmethod
    def read(cls, of: Fields) -> "Drift":
        of.only("blocks", "steps", "since", "values")
        blocks = of.integers("blocks", limits.BLOCKS)
        steps, since = of.integers("steps", limits.STEPS), of.integers("since", limits.STEPS)
        rows = of.list("values", limits.STEPS)
        named = {f"values[{i}]": row for i, row in enumerate(rows)}
        read = Fields(named, of.where)
        values = tuple(read.numbers(name, limits.BLOCKS) for name in named)
        if {len(steps)} != {len(since), len(values)} or any(len(v) != len(blocks) for v in values):
            raise ValueError(
                f"{of.where}.values must be {len(steps)} rows of {len(blocks)} blocks, got "
                f"{len(values)} rows and {len(since)} since"
            )
        return cls(blocks, steps, since, values)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What was seen of one run.

    Attributes:
        name: What it is called.
        config: The cache's, as ``ClusCaConfig.to_dict`` makes it; None: there was none.
        steps: Of the sampler.
        wall_seconds: The run from beginning to end, what recording cost included.
        cost_seconds: What recording cost.
        unrecorded_seconds: The same run without a recorder; None: it was not run.
        summary: What the cache says of itself, as text by field; None: there was none.
        memory: Bytes by kind.
        maps: Clusters and representatives.
        features: Drift of the modules' outputs.
        gates: Drift of the modules' gates.
        pictures: PNGs as data URIs.
        squared_error: Of each picture that was compared with the reference, values in [0, 1];
            None: nothing was.
        missing: What was not recorded, by name, and why.
    """

    name: str
    config: dict[str, Any] | None = None
    steps: tuple[Step, ...] = ()
    wall_seconds: float = 0.0
    cost_seconds: float = 0.0
    unrecorded_seconds: float | None = None
    summary: dict[str, str] | None = None
    memory: dict[str, int] = field(default_factory=dict)
    maps: Maps | None = None
    features: Drift | None = None
    gates: Drift | None = None
    pictures: tuple[str, ...] = ()
    squared_error: tuple[float, ...] | None = None
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def psnr_db(self) -> tuple[float, ...] | None:
        """Of every picture that was compared; infinite where it is the same."""
        if self.squared_error is None:
            return None
        return tuple(-10 * math.log10(e) if e else math.inf for e in self.squared_error)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return asdict(self)

    @classmethod
    def read(cls, of: Fields) -> "Recording":
        of.only(*cls.__dataclass_fields__)
        pictures = of.texts("pictures", limits.PICTURES)
        for index, picture in enumerate(pictures):
            require_data_uri(f"{of.where}.pictures[{index}]", picture)
        memory, missing = of.object("memory"), of.object("missing")
        summary = of.optional("summary", of.object)
        config = of.optional("config", of.object)
        return cls(
            name=of.text("name"),
            config=None if config is None else config.values,
            steps=of.each("steps", limits.STEPS, Step.read),
            wall_seconds=of.number("wall_seconds"),
            cost_seconds=of.number("cost_seconds"),
            unrecorded_seconds=of.optional("unrecorded_seconds", of.number),
            summary=None if summary is None else {n: summary.text(n) for n in summary.values},
            memory={name: memory.integer(name) for name in memory.values},
            maps=of.optional("maps", lambda name: Maps.read(of.object(name))),
            features=of.optional("features", lambda name: Drift.read(of.object(name))),
            gates=of.optional("gates", lambda name: Drift.read(of.object(name))),
            pictures=pictures,
            squared_error=of.optional("squared_error", lambda n: of.numbers(n, 100_000)),
            missing={name: missing.text(name) for name in missing.values},
        )
