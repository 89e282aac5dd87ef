"""What a calibration tries: the laboratory's methods, and what was measured of one model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

from clusca_ext.config import ClusCaConfig
from clusca_ext.lab.drawn import Model
from clusca_ext.lab.fitted import POLYNOMIALS
from clusca_ext.lab.grid import settings
from clusca_ext.lab.methods import BASELINE, BASELINE_ORDER, METHODS, PLACEMENTS, with_steps
from clusca_ext.lab.moving import full_steps
from clusca_ext.lab.parts import NONE, Method, taylor
from clusca_ext.lab.trials import Candidate
from clusca_ext.presets.placements import load_placement
from clusca_ext.schedule import ExplicitSchedule
from clusca_ext.search.moves import even_placement

Own = Mapping[str, Method]  # methods of one model, by name

# TeaCache as published for the class or checkpoint of the model, and with a polynomial fitted to it
# and SmoothCache's masks of the model, reused and with Taylor forecasts.
PUBLISHED, FITTED = "teacache-own", "teacache-fitted"
MASKS, MASKS_TAYLOR = "smoothcache-fitted", "smoothcache-taylor-fitted"
OWN = (PUBLISHED, FITTED, MASKS, MASKS_TAYLOR)
# Entries of ``METHODS`` that were fitted to one model, and to which.
OF_MODEL = {f"{kind}-{name}": name for kind in ("teacache", "placed") for name in POLYNOMIALS}


def known(names: Sequence[str]) -> list[str]:
    """The names, if they are methods that can be asked for.

    Raises:
        ValueError: One is not known, or exists for one model and one number of steps alone.
    """
    tried = [*METHODS, *OWN]
    unknown = [name for name in names if name not in tried]
    if unknown or not names:
        raise ValueError(f"methods must be some of {tried}, got {unknown or list(names)}")
    return list(names)


def names_for(model: Model, own: Own) -> list[str]:
    """What is tried where nothing is asked for: not what was fitted to another model."""
    return [*(name for name in METHODS if OF_MODEL.get(name, model.name) == model.name), *own]


def evenly_between(
    swept: Sequence[Candidate], num_steps: int | None
) -> tuple[list[Candidate], range]:
    """Bounded Taylor at all numbers of full steps between those of some intervals.

    One full step more or less makes much of a difference, and is not always better.

    Returns:
        Those that no interval has, and the numbers; none where a run's length is not known.
    """
    if num_steps is None or not swept:
        return [], range(0)
    known = {full_steps(candidate, num_steps) for candidate in swept}
    counts = range(min(known), max(known) + 1)
    return [_evenly(n, num_steps) for n in counts if n not in known], counts


def _evenly(count: int, num_steps: int) -> Candidate:
    """Named one by one: an interval that yields as many would say what it does not mean."""
    schedule = ExplicitSchedule(steps=even_placement(num_steps, count))
    config = replace(with_steps(count), schedule=schedule)
    return Candidate(f"{BASELINE}, {count} full steps", config)


def different(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The first of each configuration."""
    found: list[Candidate] = []
    for each in candidates:
        if all(each.config != other.config for other in found):
            found.append(each)
    return found


def placements(names: Sequence[str] | None, counts: Sequence[int]) -> list[Candidate]:
    """The shipped placements, with as many full steps, as dense where they are.

    Args:
        names: Of methods; None: all of them.
        counts: Numbers of full steps.
    """
    found = []
    for name, preset in PLACEMENTS.items():
        if names is None or name in names:
            whole = load_placement(preset).schedule
            for count in (count for count in counts if count > 1):
                config = ClusCaConfig(
                    schedule=whole.with_count(count),
                    forecaster=taylor(BASELINE_ORDER),
                    corrector=NONE,
                )
                found.append(Candidate(f"{name}, {count} full steps", config))
    return found


def grid(
    names: Sequence[str],
    intervals: Sequence[int],
    orders: Sequence[int],
    own: Own | None = None,
) -> list[Candidate]:
    """All of the methods at intervals and orders that can be made."""
    own = own or {}
    listed = [name for name in names if name not in OWN]
    found = settings(listed, intervals, orders) if listed else []
    made = [Candidate(str(each), each.config) for each in found if not isinstance(each.config, str)]
    for name in (name for name in own if name in names):
        for interval, order in product(intervals, orders):
            config = own[name](interval, order)
            if config is not None and all(config != each.config for each in made):
                of = f"interval {interval}, order {config.forecaster.order}"
                made.append(Candidate(f"{name}, {of}", config))
    return made
