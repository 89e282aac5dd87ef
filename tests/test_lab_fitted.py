"""TeaCache's fitted polynomials are those of the models that ship, and give as many full steps."""

import numpy as np
import pytest

from clusca_ext.lab.fitted import POLYNOMIALS, THRESHOLDS
from clusca_ext.lab.methods import METHODS, by_interval
from clusca_ext.lab.models import open_model
from clusca_ext.learning.polynomial import fit_polynomial
from clusca_ext.schedule import Step

SEEDS = range(2)


def full_steps(decide, changes):
    """What a schedule makes of the changes of one sample's steps."""
    count, last = 0, None
    for index, change in enumerate([None, *changes]):
        step = Step(index, len(changes) + 1, last)
        decision = decide(step)
        if decision is None:
            decision = decide.see(step, change)
        count, last = count + decision, index if decision else last
    return count


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_they_say_how_much_the_output_changes(name):
    model = open_model(name)
    enable = {"cfg_rows": ("cond", "uncond")}
    found = fit_polynomial(model.transformer, lambda: model.draw(None, SEEDS), enable=enable)
    seen, changed = np.array(found.points).T
    left = changed - np.polyval(POLYNOMIALS[name], seen)
    explained = 1 - (left**2).sum() / ((changed - changed.mean()) ** 2).sum()
    assert found.explained - 0.1 < explained <= found.explained + 1e-9
    by_step = seen.reshape(model.steps - 1, len(SEEDS)).T  # step by step, all samples of each
    for interval in (4, 6, 8):
        schedule = METHODS[f"teacache-{name}"](interval, 0).schedule
        assert schedule.threshold == pytest.approx(THRESHOLDS[name] * interval)
        counts = [full_steps(schedule.start(model.steps), sample) for sample in by_step]
        even = by_interval(interval).start(model.steps)
        wanted = sum(even.is_full(step) for step in range(model.steps))
        assert abs(np.mean(counts) - wanted) <= 1.5
