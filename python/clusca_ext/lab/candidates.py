"""What a calibration tries: the laboratory's methods, and what was measured of one model."""

from collections.abc import Mapping, Sequence
from itertools import product

from clusca_ext.lab.drawn import Model
from clusca_ext.lab.fitted import POLYNOMIALS
from clusca_ext.lab.grid import settings
from clusca_ext.lab.methods import METHODS
from clusca_ext.lab.parts import Method
from clusca_ext.lab.trials import Candidate

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
