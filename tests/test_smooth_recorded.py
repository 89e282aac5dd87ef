"""SmoothCache's masks of the embedded models' own error curves."""

import json

import numpy as np
import pytest

from clusca_ext.learning import ErrorCurves
from record_curves import GAPS, PATH, recorded
from test_smooth import greedy

CURVES = json.loads(PATH.read_text())


def of(model):
    curves = CURVES[model]
    return ErrorCurves(num_steps=1 + len(next(iter(curves.values()))[0]), curves=curves), curves


def bounds(curves):
    """From where nothing is left out to where all is that may be."""
    errors = np.concatenate([row for rows in curves.values() for row in rows])
    return [0.0, *np.quantile(errors, [0.02, 0.1, 0.3, 0.6]), float(errors.max())]


@pytest.mark.parametrize("max_gap", range(1, GAPS + 1))
@pytest.mark.parametrize("model", CURVES)
def test_the_greedy_rule_of_real_runs(model, max_gap):
    measured, curves = of(model)
    removed = []
    for bound in bounds(curves):
        by_module = measured.schedule(bound, max_gap, by="module")
        for name, marks in by_module.modules:
            assert list(marks) == greedy(curves[name][:max_gap], bound, measured.num_steps)
        by_kind = measured.schedule(bound, max_gap)
        kinds = {name: name.split("-")[0] for name in curves}
        for name, marks in by_kind.modules:
            alike = [curves[other] for other in curves if kinds[other] == kinds[name]]
            mean = [np.mean(rows, axis=0) for rows in zip(*alike, strict=True)]
            assert list(marks) == greedy(mean[:max_gap], bound, measured.num_steps)
        removed.append(by_module.removed)
    assert removed[0] == 0 and removed == sorted(removed)
    assert len(set(removed)) >= 4 and removed[-1] > 0.9 * max_gap / (max_gap + 1)


@pytest.mark.parametrize("model", CURVES)
def test_they_are_what_runs_show(model):
    now = recorded(model)
    assert now.keys() == CURVES[model].keys()
    for name, rows in CURVES[model].items():
        for row, again in zip(rows, now[name], strict=True):
            assert again == pytest.approx(row, rel=0.02)
