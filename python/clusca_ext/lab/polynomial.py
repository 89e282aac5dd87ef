"""TeaCache's polynomial of a model: fitted, written to a configuration, tried by a calibration."""

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clusca_ext.lab.candidates import FITTED, OWN, PUBLISHED, Own
from clusca_ext.lab.drawn import Model
from clusca_ext.lab.function_model import FunctionModel
from clusca_ext.lab.models import PipelineModel, fitted_to
from clusca_ext.lab.trials import OutOfTime, Trials
from clusca_ext.learning.polynomial import Polynomial, fit_polynomial
from clusca_ext.methods import method
from clusca_ext.schedule import TEACACHE_POLYNOMIALS, Schedule, TeaCacheSchedule
from clusca_ext.targets import transformers_of
from clusca_ext.writing import replaced

Say = Callable[[str], object]


def shown_by(model: Model) -> object | None:
    """What shows the model's steps: its transformer or pipeline; None where only pictures do."""
    if isinstance(model, FunctionModel):
        return model.pipeline
    return model.transformer if isinstance(model, PipelineModel) else None


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
    trials: Trials, methods: Sequence[str] | None, seeds: range, output: pathlib.Path, say: Say
) -> Own:
    """TeaCache with the polynomial published for the model's class, and with one fitted to it.

    It is fitted once, over full runs of some seeds, and kept beside the configuration
    (.polynomial.json). For an embedded model the laboratory has it: nothing.

    Args:
        trials: Of the model.
        methods: What is asked for by name; None: whatever there is, which may be nothing.
        seeds: What is drawn to fit it.
        output: The configuration.
        say: Told why there is nothing.

    Raises:
        ValueError: It is asked for by name, and there is none.
        OutOfTime: The limit was reached before it was fitted.
    """
    model = trials.model
    if methods is not None:
        return {} if {*OWN}.isdisjoint(methods) else _own(trials, methods, seeds, output)
    if shown_by(model) is None or fitted_to(model.name, model.steps):
        return {}
    try:
        return _own(trials, (), seeds, output)
    except OutOfTime:
        raise
    except Exception as error:  # as of any candidate
        say(f"TeaCache's polynomial could not be fitted: {type(error).__name__}: {error}")
        return {}


def _own(trials: Trials, asked: Sequence[str], seeds: range, output: pathlib.Path) -> Own:
    model = trials.model
    found = _kept(model, _beside(output))
    if found is None:
        trials.require_time()
        found = _fit(model, seeds, trials.batch)
        _keep(found, model, seeds, _beside(output))
    changes = tuple(change for change, _ in found.points)
    own = {FITTED: TeaCacheOf(found.coefficients, changes)}
    name = type(transformers_of(shown_by(model))[0]).__name__
    if name in TEACACHE_POLYNOMIALS:
        own[PUBLISHED] = TeaCacheOf(TEACACHE_POLYNOMIALS[name], changes)
    elif PUBLISHED in asked:
        raise ValueError(
            f"{PUBLISHED} must be asked for of one of {list(TEACACHE_POLYNOMIALS)}, whose "
            f"polynomials were published, got {name}: {FITTED} is fitted to it"
        )
    return own


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


def _of(model: Model) -> dict[str, Any]:
    return {"model": model.name, "weights": model.weights, "steps": model.steps}


def _keep(found: Polynomial, model: Model, seeds: Sequence[int], path: pathlib.Path) -> None:
    values = _of(model) | {
        "seeds": list(seeds),
        "coefficients": found.coefficients,
        "explained": found.explained,
        "points": found.points,
    }
    with replaced(path) as unfinished:
        unfinished.write_text(json.dumps(values, indent=2) + "\n")


def _kept(model: Model, path: pathlib.Path) -> Polynomial | None:
    """What was fitted to this model; None where there is none."""
    if not path.exists():
        return None
    values = json.loads(path.read_text("utf-8"))
    if any(values.get(name) != value for name, value in _of(model).items()):
        return None
    points = tuple((change, after) for change, after in values["points"])
    return Polynomial(tuple(values["coefficients"]), values["explained"], points)
