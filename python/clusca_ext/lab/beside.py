"""What was measured of a model, in a file beside the configuration: used again for that model."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from clusca_ext.lab.drawn import Model
from clusca_ext.lab.journal import SAME
from clusca_ext.writing import replaced


class Beside:
    """One such file.

    Args:
        model: What is measured.
        seeds: What is drawn for it.
        path: The file; what another model, machine or version measured, or of other seeds, is
            replaced.
        origin: Who measures (``origin.origin``).
    """

    def __init__(
        self, model: Model, seeds: Sequence[int], path: pathlib.Path, origin: Mapping[str, str]
    ) -> None:
        self.path = path
        self._of = {
            "model": model.name,
            "weights": model.weights,
            "steps": model.steps,
            "seeds": list(seeds),
            **{name: origin[name] for name in SAME},
        }

    def keep(self, values: Mapping[str, Any]) -> None:
        """Write what was measured."""
        with replaced(self.path) as unfinished:
            unfinished.write_text(json.dumps({**self._of, **values}, indent=2) + "\n")

    def kept(self) -> dict[str, Any] | None:
        """What was; None where there is none.

        Raises:
            ValueError: The file holds something else, which is not replaced.
        """
        if not self.path.exists():
            return None
        try:
            values = json.loads(self.path.read_text("utf-8"))
        except ValueError:
            values = None
        if not isinstance(values, dict) or not {*self._of} <= {*values}:
            raise ValueError(
                f"{self.path} must hold what a calibration measured, for it would be replaced, got "
                "something else: move it, or name another output"
            )
        return values if all(values[name] == value for name, value in self._of.items()) else None
