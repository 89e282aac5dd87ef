"""What was fitted to the embedded models: polynomials, thresholds and masks are of these models."""

import numpy as np
import pytest

from clusca_ext import MaskSchedule, cache, summary
from clusca_ext.digests import weights_digest
from clusca_ext.lab.fitted import FITTED, POLYNOMIALS, THRESHOLDS, found_masks
from clusca_ext.lab.grid import settings
from clusca_ext.lab.methods import METHODS, configured
from clusca_ext.lab.models import MODELS, fitted_to, open_model
from clusca_ext.lab.parts import by_interval
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


MASKED = ("learning-to-cache", "harmonica", "smoothcache", "smoothcache-modules")


@pytest.mark.parametrize("model", MODELS)
def test_masks_are_of_their_model_and_leave_out_alike(model):
    """SmoothCache's leave out nearest to what Learning-to-Cache's do: they can be compared."""
    transformer, steps, found = MODELS[model].load().transformer, MODELS[model].steps, {}
    shipped = found_masks(model)
    assert shipped["weights"] == weights_digest(transformer)
    for name in MASKED:
        for interval in map(int, shipped["masks"].get(name, {})):
            config = configured(name, interval, 3, model)
            said = shipped["about"][f"{name}, interval {interval}"]
            found[name, interval] = removed = config.schedule.removed
            assert isinstance(config.schedule, MaskSchedule) and config.schedule.num_steps == steps
            assert said["removed"] == round(removed, 4)
            if name.startswith("smoothcache"):
                near = abs(removed - found["learning-to-cache", interval])
                assert near < (0.02 if name == "smoothcache-modules" else 0.1)
            else:  # trained: no module of a full step is left out
                assert all(
                    config.schedule.decision(step) is True for step in range(0, steps, interval)
                )
                assert said["theta"] == 0.5 and said["iterations"] > 0
            with cache(transformer, config):  # every module is named
                assert summary(transformer).steps == 0
    assert found.keys() == {(name, interval) for name in MASKED for interval in (4, 6, 8)}


def test_they_exist_for_their_model_at_its_steps_alone():
    assert fitted_to("digits", 50) == fitted_to("digits", None) == "digits"
    assert fitted_to("digits", 20) is fitted_to("folder", 50) is None
    assert settings(FITTED) == [] and settings(["speca-fitted"], model="digits") == []
    found = settings(FITTED, model="pictures")
    assert {each.method for each in found} == {*FITTED}
    assert not any(isinstance(each.config, str) for each in found)


@pytest.mark.parametrize("name", FITTED)
def test_they_draw(name):
    """Two pictures; by thresholds about as many full steps as at that interval."""
    model = open_model("pictures")
    drawn = model.draw(configured(name, 6, 1, "pictures"), [0, 1])
    said = drawn.summary
    assert said.full + said.cached + said.partial == 25
    if name.endswith("-fitted"):
        assert abs(np.mean(said.full_by_sample) - 5) <= 1.5 and said.partial == 0
    elif name == "learning-to-cache":
        assert said.full >= 5 and said.partial > 0
