"""TeaCache's polynomial of a model: fitted, written to a configuration, tried by a calibration."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clusca_ext.adapters import class_of
from clusca_ext.adapters.checkpoints import checkpoint_of
from clusca_ext.lab.beside import Beside
from clusca_ext.lab.candidates import FITTED, PUBLISHED
from clusca_ext.lab.drawn import Model
from clusca_ext.lab.models import PipelineModel, shown_by
from clusca_ext.lab.parts import RESIDUAL, Method, unordered
from clusca_ext.lab.trials import Trials
from clusca_ext.learning.polynomial import Polynomial, fit_polynomial
from clusca_ext.methods import method
from clusca_ext.methods.adapting import teacache_of
from clusca_ext.origin import origin
from clusca_ext.schedule import (
    TEACACHE_CHECKPOINTS,
    TEACACHE_POLYNOMIALS,
    TeaCacheSchedule,
)
from clusca_ext.schedule.decision import TIMESTEP
from clusca_ext.targets import transformers_of
from clusca_ext.writing import beside, replaced

Say = Callable[[str], object]

PACE = 4  # steps to a full one, of a configuration that was asked for nothing else
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
    file = Beside(model, seeds, beside(output, FILES["modulated input"]), origin(model.device))
    file.kept()  # which refuses to replace what is something else
    found = _fit(model, seeds, batch)
    base = method("teacache")
    assert isinstance(base.schedule, TeaCacheSchedule)
    known = replace(base.schedule, polynomial=found.coefficients, largest=found.largest)
    schedule = TeaCacheOf(known, tuple(change for change, _ in found.points))(PACE)
    with replaced(output) as unfinished:
        replace(base, schedule=schedule).save(unfinished)
    file.keep(_plain(found))
    say(
        f"Fitted to {len(found.points)} changes of {len(seeds)} samples, of which it explains "
        f"{found.explained:.0%}: {', '.join(f'{c:.4g}' for c in found.coefficients)}"
    )
    say(f"Threshold, for about one full step in {PACE}: {schedule.threshold:.4g}")
    say(f"Configuration: {output}; what it was fitted to: {file.path}")


@dataclass(frozen=True)
class TeaCacheOf:
    """TeaCache of a model, of whose full runs the changes are known, by interval.

    The threshold is what the polynomial makes of all changes of so many steps, in the mean; a step
    is full once the sum has passed it, by half a step's.

    Attributes:
        published: The schedule but for its threshold.
        changes: Of what it looks at, of every step.

    Raises:
        ValueError: The polynomial makes nothing of them, or less: it is another model's.
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

    def __call__(self, interval: int) -> TeaCacheSchedule:
        return replace(self.published, threshold=(interval - 0.5) * self._a_step)

    @property
    def _a_step(self) -> float:
        return float(np.polyval(self.published.polynomial, self.changes).mean())


def fitted_teacache(trials: Trials, seeds: range, output: pathlib.Path) -> dict[str, Method]:
    """TeaCache with a polynomial that is fitted to the model.

    What steps show is measured over full runs of some seeds, and kept beside the configuration
    (.polynomial.json).

    Raises:
        ValueError: The model does not show its steps.
        OutOfTime: The limit was reached before it was measured.
    """
    found = _measured(trials, seeds, output, "modulated input")
    schedule = TeaCacheSchedule(polynomial=found.coefficients, largest=found.largest)
    return _method(FITTED, schedule, found)


def is_published(model: Model) -> bool:
    """Whether TeaCache was published for its class or checkpoint."""
    return shown_by(model) is not None and _published(model) is not None


def published_teacache(trials: Trials, seeds: range, output: pathlib.Path) -> dict[str, Method]:
    """TeaCache as published for the model's class or checkpoint, with thresholds for this model.

    As ``fitted_teacache``; changes of the timestep's embedding are the same for all seeds, one of
    which is drawn (.timestep.json).

    Raises:
        ValueError: It was not published for the model, or the model does not show its steps.
        OutOfTime: The limit was reached before it was measured.
    """
    _require_shown(trials.model)
    schedule = _published(trials.model)
    if schedule is None:
        name = class_of(transformers_of(shown_by(trials.model))[0])
        raise ValueError(
            f"{PUBLISHED} must be asked for of one of {list(TEACACHE_POLYNOMIALS)} or of a "
            f"checkpoint, {list(TEACACHE_CHECKPOINTS)}, for which TeaCache was published, got "
            f"{name}: {FITTED} is fitted to it"
        )
    of_timestep = schedule.change_of in TIMESTEP
    found = _measured(trials, seeds[:1] if of_timestep else seeds, output, schedule.change_of)
    return _method(PUBLISHED, schedule, found)


def _published(model: Model) -> TeaCacheSchedule | None:
    parts = transformers_of(shown_by(model))
    return teacache_of(class_of(parts[0]), checkpoint_of(parts))


def _method(name: str, schedule: TeaCacheSchedule, found: Polynomial) -> dict[str, Method]:
    changes = tuple(change for change, _ in found.points)
    return {name: unordered(TeaCacheOf(schedule, changes), RESIDUAL)}


def _measured(trials: Trials, seeds: range, output: pathlib.Path, change_of: str) -> Polynomial:
    path = beside(output, FILES[change_of])
    file = Beside(trials.model, seeds, path, trials.journal.origin)
    values = file.kept()
    if values is None:
        trials.require_time()
        found = _fit(trials.model, seeds, trials.batch, change_of)
        file.keep(_plain(found))
        return found
    points = tuple((change, after) for change, after in values["points"])
    return Polynomial(tuple(values["coefficients"]), values["explained"], points)


def _require_shown(model: Model) -> object:
    shown = shown_by(model)
    if shown is None:
        raise ValueError(
            "model must be an embedded one, a folder of its kind, or a function that shows its "
            f"steps by draw.pipeline, a pipeline or a transformer, got {model.name}"
        )
    return shown


def _fit(
    model: Model, seeds: Sequence[int], batch: int, change_of: str = "modulated input"
) -> Polynomial:
    shown = _require_shown(model)
    # As the embedded pipelines call it: a sample's rows are those with its label, then those
    # without.
    rows: Mapping[str, Any] = {"cfg_rows": ("cond", "uncond")}
    enable = rows if isinstance(model, PipelineModel) else None

    def run() -> None:
        for i in range(0, len(seeds), batch):
            model.draw(None, seeds[i : i + batch])

    return fit_polynomial(shown, run, enable=enable, change_of=change_of)


def _plain(found: Polynomial) -> dict[str, Any]:
    return {
        "coefficients": found.coefficients,
        "explained": found.explained,
        "points": found.points,
    }
