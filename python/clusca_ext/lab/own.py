"""What a calibration measures of a model, and tries on that model alone."""

import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from clusca_ext.lab.candidates import FITTED, MASKS, MASKS_TAYLOR, PUBLISHED, Own
from clusca_ext.lab.drawn import Model
from clusca_ext.lab.models import fitted_to, shown_by
from clusca_ext.lab.own_masks import own_masks
from clusca_ext.lab.parts import Method
from clusca_ext.lab.polynomial import own_teacache
from clusca_ext.lab.trials import OutOfTime, Trials

Say = Callable[[str], object]


class Measured(NamedTuple):
    """A kind of methods that are measured.

    Attributes:
        names: Of the methods.
        words: What is measured.
        of: They exist for what models, where nothing is asked for by name.
        make: The methods.
    """

    names: tuple[str, ...]
    words: str
    of: Callable[[Model], bool]
    make: Callable[[Trials, Sequence[str], range, pathlib.Path, Say], dict[str, Method]]


def _without_one(model: Model) -> bool:
    """It shows its steps; of an embedded model the laboratory has the polynomial."""
    return shown_by(model) is not None and not fitted_to(model.name, model.steps)


def _with_steps(model: Model) -> bool:
    return shown_by(model) is not None and model.steps is not None


KINDS = (
    Measured((PUBLISHED, FITTED), "TeaCache's polynomial", _without_one, own_teacache),
    Measured((MASKS, MASKS_TAYLOR), "SmoothCache's error curves", _with_steps, own_masks),
)


def own_methods(
    trials: Trials,
    methods: Sequence[str] | None,
    seeds: range,
    output: pathlib.Path,
    say: Say,
) -> Own:
    """TeaCache with the model's polynomials, SmoothCache with its masks.

    Each is measured once, and what was measured is kept beside the configuration.

    Args:
        trials: Of the model.
        methods: What is asked for by name; None: whatever there is, which may be nothing.
        seeds: What is drawn to measure.
        output: The configuration.
        say: Told why there is none.

    Raises:
        ValueError: One is asked for by name, and there is none.
        OutOfTime: The limit was reached before they were measured.
    """
    own: dict[str, Method] = {}
    for kind in KINDS:
        if methods is not None:
            if not {*kind.names}.isdisjoint(methods):
                own |= kind.make(trials, methods, seeds, output, say)
            continue
        if not kind.of(trials.model):
            continue
        try:
            own |= kind.make(trials, (), seeds, output, say)
        except OutOfTime:
            raise
        except Exception as error:  # as of any candidate
            say(f"{kind.words} could not be measured: {type(error).__name__}: {error}")
    return own
