"""What a search is told, and what makes two searches the same one."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from clusca_ext.checks import integer, integers
from clusca_ext.config import ClusCaConfig


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """A search for the placement of full steps.

    Attributes:
        num_steps: Steps of the run.
        full_steps: How many of them are full, at least 2: the first stays where it is.
        config: The cache; its schedule is what is searched.
        training: Seeds of the pictures a placement is scored by.
        held_out: Seeds of the pictures the found one is judged by; none of them in ``training``.
        seed: Of the moves.
        objective: What is drawn, in words. A search goes on only with the words it began with.
    """

    num_steps: int
    full_steps: int
    config: ClusCaConfig = ClusCaConfig()
    training: tuple[int, ...] = tuple(range(12))
    held_out: tuple[int, ...] = tuple(range(1000, 1064))
    seed: int = 0
    objective: str = ""

    def __post_init__(self) -> None:
        integer("num_steps", self.num_steps, 3)
        integer("full_steps", self.full_steps, 2, self.num_steps - 1)
        if not isinstance(self.config, ClusCaConfig):
            raise ValueError(f"config must be a ClusCaConfig, got {self.config!r}")
        for name in ("training", "held_out"):
            seeds = integers(name, getattr(self, name), 0)
            object.__setattr__(self, name, seeds)
            if len(seeds) < 2 or len(set(seeds)) < len(seeds):
                raise ValueError(f"{name} must be at least 2 different seeds, got {list(seeds)}")
        shared = sorted(set(self.training) & set(self.held_out))
        if shared:
            raise ValueError(f"held_out must hold no seed of training, got {shared} in both")
        integer("seed", self.seed, 0)
        if not isinstance(self.objective, str):
            raise ValueError(f"objective must be a string, got {self.objective!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them; of the configuration all but the schedule."""
        plain: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            plain[field.name] = list(value) if isinstance(value, tuple) else value
        plain["config"] = self.config.to_dict()
        del plain["config"]["schedule"]
        return plain

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "SearchSettings":
        """What ``to_dict`` wrote.

        Raises:
            ValueError: A key or value is not known.
        """
        values = dict(values)
        config = ClusCaConfig.from_dict(values.pop("config", {}))
        try:
            return cls(config=config, **values)
        except TypeError as error:
            raise ValueError(f"the settings of a search: {error}") from None
