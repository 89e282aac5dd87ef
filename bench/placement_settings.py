"""What placement_search.py tries: placements that a search has found, in other settings."""

from dataclasses import dataclass, replace

from clusca_ext import ClusCaConfig, HermiteForecaster, LeanStorage, TaylorForecaster
from clusca_ext.correction import NoCorrection
from clusca_ext.search import Placement, SearchSettings
from clusca_ext.search.moves import Steps

SEEN, UNSEEN, PICTURES = range(5), range(5, 10), range(7)
BASE = ClusCaConfig(forecaster=TaylorForecaster(order=1), corrector=NoCorrection())
SEARCH = SearchSettings(
    num_steps=50,
    full_steps=10,
    config=BASE,
    training=tuple(range(8)),
    held_out=tuple(range(1000, 1064)),
    objective="embedded digits model, digits 0 to 4, guidance 1.25, DDIM",
)
TRIES = 60


@dataclass(frozen=True)
class Setting:
    """Where a found placement is tried.

    Attributes:
        name: What differs from the search, in words.
        config: The cache; its schedule does not matter.
        classes: What is drawn.
        num_steps: Steps of the run.
        full_steps: How many are full.
        guidance: Scale of it; None: the model's usual one.
        of: The model and its sampler, in words.
    """

    name: str
    config: ClusCaConfig = BASE
    classes: range = SEEN
    num_steps: int = SEARCH.num_steps
    full_steps: int = SEARCH.full_steps
    guidance: float | None = None
    of: tuple[str, str] = ("digits-demo", "DDIM")

    def key(self, samples: int) -> dict[str, str]:
        model, sampler = self.of
        run = f"{sampler} {self.num_steps} steps, {self.full_steps} full"
        shape = f"{model} B{samples}, {run}, {self.name}"
        return {"bench": "search", "shape": shape, "dtype": "float32", "impl": "searched"}

    def steps(self, found: Placement) -> Steps:
        """The found placement here: the same, or the nearest to its fractions of a run."""
        schedule = found.schedule
        if self.full_steps != len(found.steps):
            schedule = schedule.with_count(self.full_steps)
        return schedule.full_steps(self.num_steps)


DIGITS = (  # the most telling first
    Setting("as searched"),
    Setting("Taylor 2", replace(BASE, forecaster=TaylorForecaster(order=2))),
    Setting("Hermite 2", replace(BASE, forecaster=HermiteForecaster(order=2))),
    Setting("clusters", replace(BASE, corrector=ClusCaConfig().corrector)),
    Setting("lean window", replace(BASE, storage=LeanStorage(basis="window"))),
    Setting("8 full steps", full_steps=8),
    Setting("12 full steps", full_steps=12),
    Setting("15 full steps", full_steps=15),
    Setting("digits 5 to 9", classes=UNSEEN),
    Setting("30 steps", num_steps=30),
    Setting("30 steps, as dense", num_steps=30, full_steps=6),
    Setting("100 steps", num_steps=100),
    Setting("100 steps, as dense", num_steps=100, full_steps=20),
)


def of_pictures(
    name: str,
    config: ClusCaConfig = BASE,
    steps: int = 25,
    full: int = 6,
    classes: range = PICTURES,
    guidance: float | None = None,
) -> Setting:
    return Setting(name, config, classes, steps, full, guidance, ("pictures", "rectified flow"))


OF_PICTURES = (
    of_pictures("as searched"),
    of_pictures("Taylor 2", replace(BASE, forecaster=TaylorForecaster(order=2))),
    of_pictures("Hermite 2", replace(BASE, forecaster=HermiteForecaster(order=2))),
    of_pictures("clusters", replace(BASE, corrector=ClusCaConfig().corrector)),
    of_pictures("lean window", replace(BASE, storage=LeanStorage(basis="window"))),
    of_pictures("4 full steps", full=4),
    of_pictures("8 full steps", full=8),
    of_pictures("10 full steps", full=10),
    of_pictures("15 steps", steps=15),
    of_pictures("15 steps, as dense", steps=15, full=4),
    of_pictures("50 steps", steps=50),
    of_pictures("50 steps, as dense", steps=50, full=12),
    of_pictures("no guidance", guidance=1.0),
    of_pictures("guidance of 4", guidance=4.0),  # twice the usual one
)
KNOWN, UNKNOWN = range(4), range(4, 7)  # of the pictures
OF_PROMPTS = (
    of_pictures("pictures 0 to 3, as searched", classes=KNOWN),
    of_pictures("pictures 4 to 6", classes=UNKNOWN),
    of_pictures("pictures 4 to 6, guidance of 4", classes=UNKNOWN, guidance=4.0),
)
PROMPTS = replace(
    SEARCH,
    num_steps=25,
    full_steps=6,
    training=tuple(range(12)),
    objective="embedded pictures model, pictures 0 to 3, guidance 2, rectified flow",
)


@dataclass(frozen=True)
class Study:
    """Of one model.

    Attributes:
        model: Which.
        settings: Where what a search has found is tried; the first is the search's.
        preset: What ships of it; None: what the study's own search finds.
        search: The settings of a search that the study begins with; None: the preset is taken.
    """

    model: str
    settings: tuple[Setting, ...]
    preset: str | None = None
    search: SearchSettings | None = None


STUDIES = {
    "digits": Study("digits", DIGITS, "digits-50-10", SEARCH),
    "pictures": Study("pictures", OF_PICTURES, "pictures-25-6"),
    "prompts": Study("pictures", OF_PROMPTS, search=PROMPTS),
}
