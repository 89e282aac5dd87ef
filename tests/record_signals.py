"""Records what schedules that adapt are shown in runs of the embedded models.

``python tests/record_signals.py`` writes ``recorded_signals.json``: of every model and method the
laboratory's configuration at one interval, drawn for two seeds, and of each sample the letters of
its steps (as in ``plain_decisions``) and the changes they showed, to four digits.
"""

import json
import pathlib

from clusca_ext import ClusCaConfig
from clusca_ext.lab.methods import configured
from clusca_ext.lab.models import MODELS, open_model
from clusca_ext.schedule.decision import VERIFIED

PATH = pathlib.Path(__file__).parent / "recorded_signals.json"
SEEDS = (0, 1)
ORDER = 2  # of SpeCa's forecasts
# By model: methods at the interval of a run with full and cached steps of every kind.
RECORDED = {
    "digits": {
        "teacache": 6,
        "teacache-digits": 6,
        "first-block": 6,
        "speca": 6,
        "adacache": 6,
    },
    "pictures": {
        "teacache": 6,
        "teacache-pictures": 6,
        "first-block-fitted": 6,
        "speca": 6,
        "speca-fitted": 6,
        "adacache": 6,
    },
}


def config_of(model, name):
    """What the laboratory calls by that name."""
    return configured(name, RECORDED[model][name], ORDER, model)


def listened(schedule, runs):
    """The schedule, whose runs each append what they were shown and what they decided."""

    class Listened(type(schedule)):
        def start(self, num_steps):
            decide = super().start(num_steps)
            runs.append(Run(decide, num_steps, decide.max_interval, self.signal.kind))
            return runs[-1]

    return Listened(**vars(schedule))


class Run:
    """Decides as a schedule's run does, and keeps ``letters`` and ``shown`` of its steps."""

    def __init__(self, decide, steps, max_interval, kind):
        self._decide, self.max_interval = decide, max_interval
        # What a step shows is told when it is over.
        self._late = kind in (*VERIFIED, "residual")
        self.letters, self.shown = ["?"] * steps, [None] * steps

    @property
    def verifies(self):
        return self._decide.verifies

    def _noted(self, step, full):
        if full is not None:
            self.letters[step.index] = "f" if full else "v" if self.verifies else "c"
        return full

    def __call__(self, step):
        return self._noted(step, self._decide(step))

    def see(self, step, change):
        self.shown[step.index - self._late] = change
        decided = self._decide.see(step, change)
        return decided if self._late else self._noted(step, decided)


def record(model, name, seeds=SEEDS):
    """Of each seed's sample, what its steps were and showed."""
    config, runs = config_of(model, name), []
    opened = open_model(model)
    schedule = listened(config.schedule, runs)
    opened.draw(ClusCaConfig(**(vars(config) | {"schedule": schedule})), seeds)
    runs = [run for run in runs if "?" not in run.letters]
    assert len(runs) == len(seeds)
    return [
        {
            "steps": "".join(run.letters),
            "shown": [None if each is None else float(f"{each:.4g}") for each in run.shown],
        }
        for run in runs
    ]


def main():
    found = {model: {name: record(model, name) for name in RECORDED[model]} for model in MODELS}
    rows = [
        f'  "{model}": {{\n'
        + ",\n".join(f'    "{name}": {json.dumps(runs)}' for name, runs in by_name.items())
        + "\n  }"
        for model, by_name in found.items()
    ]
    PATH.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
