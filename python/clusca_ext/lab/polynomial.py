"""TeaCache's polynomial of a model: fitted, written to a configuration, tried by a calibration."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clusca_ext.adapters.checkpoints import checkpoint_of
from clusca_ext.lab.beside import keep, kept
from clusca_ext.lab.candidates import FITTED, PUBLISHED
from clusca_ext.lab.drawn import Model
from clusca_ext.lab.models import PipelineModel, shown_by
from clusca_ext.lab.parts import RESIDUAL, Method, unordered
from clusca_ext.lab.trials import Trials
from clusca_ext.learning.polynomial import Polynomial, fit_polynomial
from clusca_ext.methods import method
from clusca_ext.schedule import (
    TEACACHE_CHECKPOINTS,
    TEACACHE_POLYNOMIALS,
    Schedule,
    TeaCacheSchedule,
)
from clusca_ext.targets import transformers_of
from clusca_ext.writing import replaced

Say = Callable[[str], object]

# What was measured lies beside the configuration, by what was looked at.
FILES = {"modulated input": ".polynomial.json", "embedded timestep": ".timestep.json"}


def write_polynomial(
    model: Model, seeds: Sequence[int], batch: int, output: pathlib.Path, say: Say
) -> None:
    """Fit it over full runs of some seeds, and write a configuration of TeaCache that uses it.

    What it was fitted to lies beside the configuration (.polynomial.json).

    Raises:
        ValueError: The model is a function, of which only pictures are seen.
    """
    found, beside = _fit(model, seeds, batch), output.with_suffix(FILES["modulated input"])
    base = method("teacache")
    assert isinstance(base.schedule, TeaCacheSchedule)
    schedule = replace(base.schedule, polynomial=found.coefficients)
    with replaced(output) as unfinished:
        replace(base, schedule=schedule).save(unfinished)
    _keep(found, model, seeds, beside)
    say(
        f"Fitted to {len(found.points)} changes of {len(seeds)} samples, of which it explains "
        f"{found.explained:.0%}: {', '.join(f'{c:.4g}' for c in found.coefficients)}"
    )
    say(f"Configuration: {output}; what it was fitted to: {beside}")


@dataclass(frozen=True)
class TeaCacheOf:
    """TeaCache of a model, of whose full runs the changes are known, by interval.

    The threshold is what the polynomial makes of all changes of so many steps, in the mean; a step
    is full once the sum has passed it, by half a step's.

    Attributes:
        published: The schedule but for its threshold.
        changes: Of what it looks at, of every step.

    Raises:
        ValueError: The polynomial makes less than nothing of them: it is another model's.
    """

    published: TeaCacheSchedule
    changes: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self._a_step > 0:
            raise ValueError(
                "the polynomial must make more than 0 of a step's change in the mean, got "
                f"{self._a_step:.3g} for changes from {min(self.changes):.3g} to "
                f"{max(self.changes):.3g}"
            )

    def __call__(self, interval: int) -> Schedule:
        return replace(self.published, threshold=(interval - 0.5) * self._a_step)

    @property
    def _a_step(self) -> float:
        return float(np.polyval(self.published.polynomial, self.changes).mean())


def own_teacache(
    trials: Trials, asked: Sequence[str], seeds: range, output: pathlib.Path, say: Say
) -> dict[str, Method]:
    """TeaCache as published for the model's class or checkpoint, and with a fitted polynomial.

    What steps show is measured once, over full runs of some seeds, and kept beside the
    configuration (.polynomial.json; .timestep.json of a checkpoint published for that).

    Args:
        trials: Of the model.
        asked: What is asked for by name.
        seeds: What is drawn to measure.
        output: The configuration.
        say: Told which of the two there is not, and why.

    Raises:
        ValueError: It is asked for, and there is none.
        OutOfTime: The limit was reached before it was measured.
    """

    def measured(change_of: str) -> Polynomial:
        path = output.with_suffix(FILES[change_of])
        found = _kept(trials.model, path)
        if found is None:
            trials.require_time()
            found = _fit(trials.model, seeds, trials.batch, change_of)
            _keep(found, trials.model, seeds, path)
        return found

    fitted = measured("modulated input")
    parts = transformers_of(shown_by(trials.model))
    schedules = {FITTED: (TeaCacheSchedule(polynomial=fitted.coefficients), fitted)}
    name, checkpoint = type(parts[0]).__name__, checkpoint_of(parts)
    if name in TEACACHE_POLYNOMIALS:
        published = TeaCacheSchedule(polynomial=TEACACHE_POLYNOMIALS[name])
        schedules[PUBLISHED] = published, fitted
    elif checkpoint in TEACACHE_CHECKPOINTS:
        published = TEACACHE_CHECKPOINTS[checkpoint]
        schedules[PUBLISHED] = published, measured(published.change_of)
    elif PUBLISHED in asked:
        raise ValueError(
            f"{PUBLISHED} must be asked for of one of {list(TEACACHE_POLYNOMIALS)} or of a "
            f"checkpoint, {list(TEACACHE_CHECKPOINTS)}, for which TeaCache was published, got "
            f"{name}: {FITTED} is fitted to it"
        )
    own: dict[str, Method] = {}
    for name, (schedule, of) in schedules.items():
        try:
            by_interval = TeaCacheOf(schedule, tuple(change for change, _ in of.points))
        except ValueError as error:
            if name in asked:
                raise ValueError(f"{name}: {error}") from None
            say(f"{name} is not tried: {error}")
        else:
            own[name] = unordered(by_interval, RESIDUAL)
    return own


def _fit(
    model: Model, seeds: Sequence[int], batch: int, change_of: str = "modulated input"
) -> Polynomial:
    shown = shown_by(model)
    if shown is None:
        raise ValueError(
            "model must be an embedded one, a folder of its kind, or a function that shows its "
            f"steps by draw.pipeline, a pipeline or a transformer, got {model.name}"
        )
    # As the embedded pipelines call it: a sample's rows are those with its label, then those
    # without.
    rows: Mapping[str, Any] = {"cfg_rows": ("cond", "uncond")}
    enable = rows if isinstance(model, PipelineModel) else None

    def run() -> None:
        for i in range(0, len(seeds), batch):
            model.draw(None, seeds[i : i + batch])

    return fit_polynomial(shown, run, enable=enable, change_of=change_of)


def _keep(found: Polynomial, model: Model, seeds: Sequence[int], path: pathlib.Path) -> None:
    values = {
        "seeds": list(seeds),
        "coefficients": found.coefficients,
        "explained": found.explained,
        "points": found.points,
    }
    keep(model, values, path)


def _kept(model: Model, path: pathlib.Path) -> Polynomial | None:
    values = kept(model, path)
    if values is None:
        return None
    points = tuple((change, after) for change, after in values["points"])
    return Polynomial(tuple(values["coefficients"]), values["explained"], points)
