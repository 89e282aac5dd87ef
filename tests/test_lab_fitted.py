"""What was fitted to the embedded models: polynomials, thresholds and masks are of these models."""

import numpy as np
import pytest

from clusca_ext import MaskSchedule, cache, summary
from clusca_ext.lab.fitted import FITTED, POLYNOMIALS, THRESHOLDS, masks_of
from clusca_ext.lab.grid import INTERVALS, settings
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
def test_masks_fit_their_model_and_leave_out_alike(model):
    """SmoothCache's leave out nearest to what Learning-to-Cache's do: they can be compared."""
    transformer = MODELS[model].load().transformer
    for name in MASKED:
        for interval in map(int, masks_of(model)[name]):
            config = configured(name, interval, 3, model)
            assert isinstance(config.schedule, MaskSchedule)
            assert config.schedule.num_steps == MODELS[model].steps
            if not name.startswith("smoothcache"):  # trained: no module of a full step is left out
                every = range(0, MODELS[model].steps, interval)
                assert all(config.schedule.decision(step) is True for step in every)
            learnt = configured("learning-to-cache", interval, 1, model)
            if name == "smoothcache-modules" and learnt is not None:
                assert config.schedule.removed == pytest.approx(learnt.schedule.removed, abs=0.02)
            with cache(transformer, config):  # names every module
                assert summary(transformer).steps == 0


def test_they_exist_for_their_model_at_its_steps_alone():
    assert fitted_to("digits", 50) == fitted_to("digits", None) == "digits"
    assert fitted_to("digits", 20) is fitted_to("folder", 50) is None
    assert settings(FITTED) == [] and settings(["speca-fitted"], model="digits") == []
    found = settings(FITTED, model="pictures")
    assert {each.method for each in found} == {*FITTED}
    assert not any(isinstance(each.config, str) for each in found)


def test_thresholds_rise_with_the_interval():
    for name in ("speca-fitted", "first-block-fitted"):
        schedules = [configured(name, each, 1, "pictures").schedule for each in INTERVALS]
        thresholds = [each.threshold for each in schedules]
        assert thresholds == sorted(set(thresholds))
