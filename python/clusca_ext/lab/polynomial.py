"""TeaCache's polynomial of an embedded model, fitted and written to a configuration."""

import json
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from clusca_ext.lab.drawn import Model
from clusca_ext.lab.models import PipelineModel
from clusca_ext.learning.polynomial import fit_polynomial
from clusca_ext.methods import method
from clusca_ext.schedule import TeaCacheSchedule

Say = Callable[[str], object]


def write_polynomial(model: Model, seeds: Sequence[int], output: pathlib.Path, say: Say) -> None:
    """Fit it over full runs of some seeds, and write a configuration of TeaCache that uses it.

    What it was fitted to lies beside the configuration (.polynomial.json).

    Raises:
        ValueError: The model is a function, of which only pictures are seen.
    """
    if not isinstance(model, PipelineModel):
        raise ValueError(
            "model must be an embedded one or a folder of its kind, whose transformer is there to "
            f"look at, got {model.name}: call clusca_ext.learning.polynomial.fit_polynomial"
        )
    # As the pipeline calls it: a sample's rows are those with its label, then those without.
    enable = {"cfg_rows": ("cond", "uncond")}
    found = fit_polynomial(model.transformer, lambda: model.draw(None, seeds), enable=enable)
    base = method("teacache")
    assert isinstance(base.schedule, TeaCacheSchedule)
    schedule = replace(base.schedule, polynomial=found.coefficients)
    replace(base, schedule=schedule).save(output)
    beside = output.with_suffix(".polynomial.json")
    values = {
        "model": model.name,
        "seeds": list(seeds),
        "coefficients": found.coefficients,
        "explained": found.explained,
        "points": found.points,
    }
    beside.write_text(json.dumps(values, indent=2) + "\n")
    say(
        f"Fitted to {len(found.points)} changes of {len(seeds)} samples, of which it explains "
        f"{found.explained:.0%}: {', '.join(f'{c:.4g}' for c in found.coefficients)}"
    )
    say(f"Configuration: {output}; what it was fitted to: {beside}")
