"""What a search found."""

import json
import pathlib
from dataclasses import asdict, dataclass, replace
from typing import Any

from clusca_ext.checks import integer
from clusca_ext.config import ClusCaConfig
from clusca_ext.demo.judge import Estimate
from clusca_ext.schedule import ExplicitSchedule, PlacedSchedule
from clusca_ext.search.moves import Steps
from clusca_ext.search.settings import SearchSettings

VERSION = 1
_GAINS = ("gain", "held_out_gain", "held_out_psnr")


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The best placement of full steps that was tried.

    Gains are over the even placement, in decibels of PSNR to the full sampler, paired by seed, with
    the standard error of their mean. That on training seeds is what was sought: it is too good.

    Attributes:
        steps: Indices of the full steps, ascending, the first of them 0.
        gain: On training seeds.
        held_out_gain: On held-out seeds.
        held_out_psnr: The PSNR itself there.
        tries: Placements scored, the even one not counted.
        settings: The search.
    """

    steps: Steps
    gain: Estimate
    held_out_gain: Estimate
    held_out_psnr: Estimate
    tries: int
    settings: SearchSettings

    def __post_init__(self) -> None:
        schedule = ExplicitSchedule(steps=self.steps)
        schedule.start(self.settings.num_steps)
        object.__setattr__(self, "steps", schedule.steps)
        if len(self.steps) != self.settings.full_steps:
            raise ValueError(f"steps must be {self.settings.full_steps}, got {len(self.steps)}")
        integer("tries", self.tries, 0)

    @property
    def schedule(self) -> PlacedSchedule:
        """The same at fractions of a run, for runs of other lengths."""
        last = self.settings.num_steps - 1
        return PlacedSchedule(fractions=tuple(step / last for step in self.steps))

    def config(self, base: ClusCaConfig | None = None) -> ClusCaConfig:
        """A configuration with these full steps; ``base``: the one that was searched with."""
        base = self.settings.config if base is None else base
        return replace(base, schedule=ExplicitSchedule(steps=self.steps))

    def save(self, path: str | pathlib.Path) -> None:
        """Write to a JSON file."""
        gains = {name: asdict(getattr(self, name)) for name in _GAINS}
        values = {"version": VERSION, "steps": list(self.steps), **gains, "tries": self.tries}
        values["settings"] = self.settings.to_dict()
        pathlib.Path(path).write_text(json.dumps(values, indent=2) + "\n")

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "Placement":
        """Read from a JSON file.

        Raises:
            ValueError: The file is not one that ``save`` wrote.
        """
        try:
            values: dict[str, Any] = json.loads(pathlib.Path(path).read_text("utf-8"))
            version = values.pop("version")
            if version != VERSION:
                raise ValueError(f"version must be {VERSION}, got {version!r}")
            values |= {name: Estimate(**values[name]) for name in _GAINS}
            values["settings"] = SearchSettings.from_dict(values["settings"])
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path} must be a placement that was saved: {error}") from None
