"""SpeCa's decisions against those of its published code, over errors that were made up."""

import random
from dataclasses import replace

import pytest

from clusca_ext import SpeCaSchedule, cache, method
from clusca_ext.enable import cache_of
from clusca_ext.lab.models import open_embedded
from clusca_ext.methods.adapting import speca as speca_of
from plain_decisions import as_published, counted_up, ours, replayed, speca

# Of its code for DiT: sample.py, and sample_ddp.py.
ONE = {"threshold": 0.1, "decay": 0.01, "floor": 0.01, "least": 2, "most": 5}
MANY = {"threshold": 0.3, "decay": 0.05, "floor": 0.01, "least": 3, "most": 8}
FLUX = {"threshold": 7.0, "decay": 0.3, "floor": 0.1, "least": 2, "most": 8}  # for FLUX.1
VIDEO = {"threshold": 1, "decay": 0.1, "floor": 0.1, "least": 4, "most": 12, "first": 1}
OF_FLUX, OF_VIDEO = map(speca_of, ("FluxTransformer2DModel", "HunyuanVideoTransformer3DModel"))
OF_MANY = SpeCaSchedule(threshold=0.3, decay=0.05, min_skips=4, max_skips=8)
SETTINGS = [
    pytest.param(method("speca").schedule, ONE, as_published, id="shipped"),
    pytest.param(OF_FLUX.schedule, FLUX, counted_up, id="shipped-of-flux"),
    pytest.param(OF_VIDEO.schedule, VIDEO, counted_up, id="shipped-of-hunyuan-video"),
    pytest.param(OF_MANY, MANY, as_published, id="of-ddp"),
]


def drawn(steps, how, seed):
    """Errors of every size from far below the floor to far above the threshold."""
    draw = random.Random(seed)
    return [how["threshold"] * 10 ** draw.uniform(-3, 1) for _ in range(steps)]


def allowed(progress, index, steps, how):
    return max(how["threshold"] * how["decay"] ** progress(index, steps), how["floor"])


def test_the_published_sequence():
    """Errors of nothing: by hand, as the code goes through it."""
    nothing = [0.0] * 20
    assert speca(nothing, as_published, **ONE) == "fcfccvvvfccvvvfccvvv"
    assert replayed(method("speca").schedule, nothing) == "fcfccvvvfccvvvfccvvv"
    assert replayed(SpeCaSchedule(), nothing) == "fcfcvvvvfcvvvvfcvvvv"  # one step earlier
    assert replayed(SpeCaSchedule(min_skips=1), nothing) == "fvfvvvvvfvvvvvfvvvvv"
    assert replayed(OF_VIDEO.schedule, nothing) == "fccccvvvvvvvvfccccvv"
    assert (OF_FLUX.forecaster.order, OF_VIDEO.forecaster.order) == (2, 1)


def test_errors_that_always_fail():
    assert replayed(method("speca").schedule, [9.0] * 16) == "fcfccvfccvfccvfc"
    assert speca([9.0] * 16, as_published, **ONE) == "fcfccvfccvfccvfc"


@pytest.mark.parametrize("schedule, how, progress", SETTINGS)
@pytest.mark.parametrize("steps", [4, 20, 50])
def test_a_threshold_that_stays(schedule, how, progress, steps):
    """Progress does not matter: the same decisions, whatever the errors are."""
    schedule, how, found = replace(schedule, decay=1), how | {"decay": 1}, set()
    for seed in range(100):
        errors = drawn(steps, how, seed)
        found.add(replayed(schedule, errors))
        assert replayed(schedule, errors) == speca(errors, progress, **how)
    assert len(found) > 10 or steps == 4


@pytest.mark.parametrize("schedule, how, progress", SETTINGS)
@pytest.mark.parametrize("steps", [20, 50])
def test_a_threshold_that_falls(schedule, how, progress, steps):
    """The same decisions of errors that are not between both thresholds; all, by our progress."""
    found, between = set(), 0
    for seed in range(100):
        errors = drawn(steps, how, seed)
        assert replayed(schedule, errors) == speca(errors, ours, **how)
        for index in range(steps - 1):  # an error decides the next step
            both = [allowed(each, index + 1, steps, how) for each in (progress, ours)]
            if min(both) <= errors[index] <= max(both):
                between, errors[index] = between + 1, min(both) / 2
        found.add(replayed(schedule, errors))
        assert replayed(schedule, errors) == speca(errors, progress, **how)
    assert len(found) > 10 and between


def test_how_far_thresholds_are_apart():
    """As the docstring of the method says: 9 % at the start of 50 steps, nothing at the end."""
    theirs, here = (allowed(each, 0, 50, ONE) for each in (as_published, ours))
    assert 0.905 < theirs / here < 0.915 and here == ONE["threshold"]
    ends = (ONE["decay"] ** each(49, 50) for each in (as_published, ours))
    assert len(set(ends)) == 1
    # between them, at the step that is decided: the code computes it, ours does not
    errors = [0.0] * 50
    errors[5] = (allowed(as_published, 6, 50, ONE) + allowed(ours, 6, 50, ONE)) / 2
    assert speca(errors, as_published, **ONE).startswith("fcfccvf")
    assert replayed(method("speca").schedule, errors).startswith("fcfccvv")


@pytest.mark.parametrize("name, steps", [("digits", 50), ("pictures", 25)])
def test_on_the_embedded_models_every_verified_step_fails(name, steps):
    """Why the laboratory has other thresholds."""
    pipeline, _ = open_embedded(name)
    with cache(pipeline, method("speca", pipeline)):
        pipeline([0, 1], seeds=[0, 1], num_inference_steps=steps)
        found = ["".join(kind[0] for kind in each.kinds) for each in cache_of(pipeline).by_sample]
    assert found == [("fcfccc" + "fccc" * steps)[:steps]] * 2
