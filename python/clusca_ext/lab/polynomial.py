"""TeaCache's polynomial of a model: fitted, written to a configuration, tried by a calibration."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clusca_ext.lab.beside import keep, kept
from clusca_ext.lab.candidates import FITTED, PUBLISHED
from clusca_ext.lab.drawn import Model
from clusca_ext.lab.models import PipelineModel, shown_by
from clusca_ext.lab.parts import RESIDUAL, Method, unordered
from clusca_ext.lab.trials import Trials
from clusca_ext.learning.polynomial import Polynomial, fit_polynomial
from clusca_ext.methods import method
from clusca_ext.schedule import TEACACHE_POLYNOMIALS, Schedule, TeaCacheSchedule
from clusca_ext.targets import transformers_of
from clusca_ext.writing import replaced

Say = Callable[[str], object]


def write_polynomial(
    model: Model, seeds: Sequence[int], batch: int, output: pathlib.Path, say: Say
) -> None:
    """Fit it over full runs of some seeds, and write a configuration of TeaCache that uses it.

    What it was fitted to lies beside the configuration (.polynomial.json).

    Raises:
        ValueError: The model is a function, of which only pictures are seen.
    """
    found, beside = _fit(model, seeds, batch), _beside(output)
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
        polynomial: The highest power first.
        changes: Of the modulated input, of every step.
    """

    polynomial: tuple[float, ...]
    changes: tuple[float, ...]

    def __call__(self, interval: int) -> Schedule:
        threshold = (interval - 0.5) * self._a_step
        return TeaCacheSchedule(threshold=threshold, polynomial=self.polynomial)

    @property
    def _a_step(self) -> float:
        return float(np.polyval(self.polynomial, self.changes).mean())


def own_teacache(
    trials: Trials, asked: Sequence[str], seeds: range, output: pathlib.Path
) -> dict[str, Method]:
    """TeaCache with the polynomial published for the model's class, and with one fitted to it.

    It is fitted once, over full runs of some seeds, and kept beside the configuration
    (.polynomial.json).

    Args:
        trials: Of the model.
        asked: What is asked for by name.
        seeds: What is drawn to fit it.
        output: The configuration.

    Raises:
        ValueError: It is asked for, and there is none.
        OutOfTime: The limit was reached before it was fitted.
    """
    model, path = trials.model, _beside(output)
    found = _kept(model, path)
    if found is None:
        trials.require_time()
        found = _fit(model, seeds, trials.batch)
        _keep(found, model, seeds, path)
    changes = tuple(change for change, _ in found.points)
    polynomials = {FITTED: found.coefficients}
    name = type(transformers_of(shown_by(model))[0]).__name__
    if name in TEACACHE_POLYNOMIALS:
        polynomials[PUBLISHED] = TEACACHE_POLYNOMIALS[name]
    elif PUBLISHED in asked:
        raise ValueError(
            f"{PUBLISHED} must be asked for of one of {list(TEACACHE_POLYNOMIALS)}, whose "
            f"polynomials were published, got {name}: {FITTED} is fitted to it"
        )
    return {
        name: unordered(TeaCacheOf(polynomial, changes), RESIDUAL)
        for name, polynomial in polynomials.items()
    }


def _fit(model: Model, seeds: Sequence[int], batch: int) -> Polynomial:
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

    return fit_polynomial(shown, run, enable=enable)


def _beside(output: pathlib.Path) -> pathlib.Path:
    return output.with_suffix(".polynomial.json")


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
