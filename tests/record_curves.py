"""Records SmoothCache's error curves of the embedded models.

``python tests/record_curves.py`` writes ``recorded_curves.json``: of each model how much every
module's output changes from step to step, over one run of two samples, to four digits.
"""

import json
import pathlib
from functools import partial

from clusca_ext.lab.models import MODELS, open_embedded
from clusca_ext.learning import calibrate
from clusca_ext.learning.embedded import Task

PATH = pathlib.Path(__file__).parent / "recorded_curves.json"
GAPS = 3


def recorded(name):
    """The curves of a model, by module."""
    pipeline, _ = open_embedded(name)
    steps = MODELS[name].steps
    sample = partial(Task(steps=steps, batch=2).sample, pipeline)
    curves = calibrate(pipeline.transformer, sample, steps, GAPS, seeds=(0,)).curves
    return {
        module: [[float(f"{error:.4g}") for error in row] for row in rows]
        for module, rows in curves.items()
    }


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(recorded(name))}" for name in MODELS]
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n")
