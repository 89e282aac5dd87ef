"""What a calibration measures of a model, and tries on that model alone."""

import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from clusca_ext.lab.candidates import FITTED, MASKS, MASKS_TAYLOR, PUBLISHED, Own
from clusca_ext.lab.drawn import Model
from clusca_ext.lab.models import fitted_to, shown_by
from clusca_ext.lab.own_masks import own_masks
from clusca_ext.lab.parts import Method
from clusca_ext.lab.polynomial import fitted_teacache, is_published, published_teacache
from clusca_ext.lab.trials import OutOfTime, Trials


class Measured(NamedTuple):
    """Methods that need something measured.

    Attributes:
        names: Of the methods.
        exists: For what models they do, where nothing is asked for by name.
        make: Measures some seeds, and keeps that beside a configuration.
    """

    names: tuple[str, ...]
    exists: Callable[[Model], bool]
    make: Callable[[Trials, range, pathlib.Path], dict[str, Method]]


def _needs_polynomial(model: Model) -> bool:
    """Of embedded models the laboratory has it."""
    return shown_by(model) is not None and not fitted_to(model.name, model.steps)


def _has_steps(model: Model) -> bool:
    return shown_by(model) is not None and model.steps is not None


KINDS = (
    Measured((FITTED,), _needs_polynomial, fitted_teacache),
    Measured((PUBLISHED,), is_published, published_teacache),
    Measured((MASKS, MASKS_TAYLOR), _has_steps, own_masks),
)


def own_methods(
    trials: Trials,
    methods: Sequence[str] | None,
    seeds: range,
    output: pathlib.Path,
    say: Callable[[str], object],
) -> Own:
    """TeaCache with the model's polynomials, SmoothCache with its masks.

    Args:
        trials: Of the model.
        methods: What is asked for by name; None: whatever there is, which may be nothing.
        seeds: What is drawn to measure.
        output: The configuration.
        say: Told what there is not, and why.

    Raises:
        ValueError: One is asked for by name, and there is none.
        OutOfTime: The limit was reached before they were measured.
    """
    own: dict[str, Method] = {}
    for kind in KINDS:
        is_asked = methods is not None and not {*kind.names}.isdisjoint(methods)
        if not is_asked and (methods is not None or not kind.exists(trials.model)):
            continue
        names = " and ".join(kind.names)
        try:
            own |= kind.make(trials, seeds, output)
        except OutOfTime:
            raise
        except Exception as error:  # of one candidate, whatever it is; the others go on
            why = f"{type(error).__name__}: {error}"
            if is_asked:
                raise ValueError(f"{names} cannot be tried: {why}") from error
            say(f"{names} cannot be tried: {why}")
    return own
