"""What was measured of a model, in a file beside the configuration: used again for that model."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from clusca_ext.lab.drawn import Model
from clusca_ext.writing import replaced


def keep(model: Model, values: Mapping[str, Any], path: pathlib.Path) -> None:
    """Write it, and which model it is of."""
    with replaced(path) as unfinished:
        unfinished.write_text(json.dumps({**_of(model), **values}, indent=2) + "\n")


def kept(model: Model, path: pathlib.Path) -> dict[str, Any] | None:
    """What the file holds of this model; None where there is none, or of another one."""
    if not path.exists():
        return None
    values: dict[str, Any] = json.loads(path.read_text("utf-8"))
    of = _of(model)
    return values if all(values.get(name) == value for name, value in of.items()) else None


def _of(model: Model) -> dict[str, Any]:
    return {"model": model.name, "weights": model.weights, "steps": model.steps}
