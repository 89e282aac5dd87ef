"""What schedules that adapt decide when steps show changes: made-up ones, and those of real runs.

``recorded_signals.json`` has the changes that runs of the embedded models have shown to schedules
as the laboratory has them, and what these made of them; ``record_signals.py`` says how, and writes
it anew where the laboratory's settings change.
"""

import json
import math
from dataclasses import replace

import pytest

from clusca_ext import (
    AdaCacheSchedule,
    FirstBlockSchedule,
    SpeCaSchedule,
    TeaCacheSchedule,
)
from clusca_ext.schedule import TEACACHE_POLYNOMIALS, TEACACHE_THRESHOLDS, Step
from clusca_ext.schedule.adacache import CODEBOOK_30, CODEBOOK_100
from plain_decisions import adacache, first_block, ours, replayed, speca, teacache
from record_signals import PATH, RECORDED, SEEDS, config_of, record

SIGNALS = json.loads(PATH.read_text())
RUNS = [
    pytest.param(model, name, sample, id=f"{model}-{name}-{sample}")
    for model, names in RECORDED.items()
    for name in names
    for sample in range(len(SEEDS))
]


def decided(schedule, changes, num_steps=None):
    """f of a full step, c of a cached; capitals where it asked for no change. One change a step."""
    decide, last, made = schedule.start(num_steps), None, ""
    for index, change in enumerate(changes):
        step = Step(index, num_steps, last)
        full = decide(step)
        asked = full is None
        if asked:
            full = decide.see(step, change)
        assert full in (True, False)
        last = index if full else last
        letter = "f" if full else "c"
        made += letter if asked else letter.upper()
    return made


# Changes of powers of two, whose sums are exact.
@pytest.mark.parametrize(
    "changes, expected",
    [
        pytest.param([9, 0.25, 0.25, 0.25, 0.25], "Fcccf", id="at-the-threshold"),
        pytest.param([9, 0.25, 0.25, 0.25, 0.2499], "Fcccc", id="just-below"),
        pytest.param([9, 0.75, 0.5, 0.75, 0.125, 0.125], "Fcfccf", id="from-nothing-again"),
        pytest.param([9, 3.0, 0.5, 0.25, 0.25], "Ffccf", id="what-is-over-does-not-carry"),
        pytest.param([9, 0.0, 0.0, 0.0], "Fccc", id="no-change"),
    ],
)
def test_teacache_adds_changes_up(changes, expected):
    assert decided(TeaCacheSchedule(threshold=1.0), changes) == expected


def test_teacache_computes_the_first_and_the_last_step():
    schedule = TeaCacheSchedule(threshold=1.0)
    assert decided(schedule, [0.0] * 6, num_steps=6) == "FccccF"
    assert decided(schedule, [0.0] * 6) == "Fccccc"  # where it is not known, none is the last
    assert decided(schedule, [0.0], num_steps=1) == "F"


def test_teacache_bounds_the_interval():
    """A full step that the bound asks for ends a sum, too."""
    schedule = TeaCacheSchedule(threshold=1.0, max_interval=3)
    assert decided(schedule, [0.25] * 8) == "FccFccFc"
    assert decided(schedule, [0, 0.5, 0.25, 0, 0.5, 0.5]) == "FccFcf"
    assert decided(schedule, [0, 0.75, 0.5, 0, 0, 0]) == "FcfccF"  # counted from the last full one
    assert decided(TeaCacheSchedule(threshold=1.0, max_interval=1), [0] * 3) == "FFF"


def test_teacache_takes_a_change_for_what_the_polynomial_says():
    """2 c^2 - c + 0.5, the highest power first: 0.5 of 0.5, 0.5 of 0, 1.5 of 1."""
    schedule = TeaCacheSchedule(threshold=1.0, polynomial=(2.0, -1.0, 0.5))
    assert decided(schedule, [9, 0.5, 0.5, 0.0, 0.0, 1.0, 0.5]) == "Fcfcffc"


def test_teacache_with_the_polynomial_of_flux():
    """At 0.1, by hand: 0.049865 - 0.283782 + 0.558554 - 0.382021 + 0.264231 = 0.206847."""
    flux = TEACACHE_POLYNOMIALS["FluxTransformer2DModel"]
    below = TeaCacheSchedule(threshold=0.2068, polynomial=flux)
    assert decided(below, [9, 0.1, 0.1, 0.1]) == "Ffff"
    above = TeaCacheSchedule(threshold=0.2069, polynomial=flux)
    assert decided(above, [9, 0.1, 0.1, 0.1, 0.1]) == "Fcfcf"


def test_teacache_computes_where_nothing_was_before():
    """The first change is None, as where inputs have a new shape."""
    decide = TeaCacheSchedule(threshold=1.0).start(9)
    assert decide.see(Step(0, 9), None) is True


def test_teacache_asks_no_polynomial_beyond_what_it_was_fitted_to():
    """Where it falls to anything: here below nothing, which no later step would make up for."""
    changes = [9, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1]
    published = TeaCacheSchedule(threshold=0.2, polynomial=(-10.0, 2.0, 0.0))  # 0.1 is for 0.1
    assert decided(published, changes) == "Fcfccccc"
    assert decided(replace(published, largest=0.1), changes) == "Fcfcfcfc"


@pytest.mark.parametrize("change", [math.inf, math.nan, -math.inf])
def test_teacache_computes_where_a_change_is_no_number(change):
    """And begins its sum anew."""
    schedule = TeaCacheSchedule(threshold=0.25, polynomial=(-10.0, 2.0, 0.0))
    assert decided(schedule, [9, 0.1, change, 0.1, 0.1, 0.1]) == "Fcfccf"


@pytest.mark.parametrize(
    "changes, expected",
    [
        pytest.param([9, 0.5, 0.5, 0.5, 0.5], "Fcccc", id="at-the-threshold"),
        pytest.param([9, 0.5001, 0.5, 0.5001], "Ffcf", id="just-above"),
        pytest.param([9, 0.4, 0.4, 0.4, 0.4], "Fcccc", id="nothing-adds-up"),
    ],
)
def test_first_block_compares_each_change(changes, expected):
    assert decided(FirstBlockSchedule(threshold=0.5), changes) == expected


def test_first_block_warms_up_and_bounds_the_interval():
    assert decided(FirstBlockSchedule(threshold=0.5, warmup=3), [0] * 6, num_steps=6) == "FFFccc"
    bounded = FirstBlockSchedule(threshold=0.5, max_interval=3)
    assert decided(bounded, [0] * 8) == "FccFccFc"
    assert decided(bounded, [0, 0, 1, 0, 0, 0]) == "FcfccF"


# As the scripts of ali-vilab/TeaCache print them.
PUBLISHED = {
    "FluxTransformer2DModel": "4.98651651e+02 -2.83781631e+02 5.58554382e+01 -3.82021401e+00 "
    "2.64230861e-01",
    "HunyuanVideoTransformer3DModel": "7.33226126e+02 -4.01131952e+02 6.75869174e+01 "
    "-3.14987800e+00 9.61237896e-02",
    "LTXVideoTransformer3DModel": "2.14700694e+01 -1.28016453e+01 2.31279151e+00 7.92487521e-01 "
    "9.69274326e-03",
    "MochiTransformer3DModel": "-3.51241319e+03 8.11675948e+02 -6.09400215e+01 2.42429681e+00 "
    "3.05291719e-03",
}


# What the scripts name beside it: "0.1 for 1.6x speedup, 0.15 for 2.1x speedup", and the like.
THRESHOLDS = {
    "FluxTransformer2DModel": [0.25, 0.4, 0.6, 0.8],
    "HunyuanVideoTransformer3DModel": [0.1, 0.15],
    "LTXVideoTransformer3DModel": [0.03, 0.05],
    "MochiTransformer3DModel": [0.06, 0.09],
}


def test_polynomials_and_thresholds_are_the_published_ones():
    given = {name: tuple(map(float, text.split())) for name, text in PUBLISHED.items()}
    assert given == TEACACHE_POLYNOMIALS
    assert {name: printed[0] for name, printed in THRESHOLDS.items()} == TEACACHE_THRESHOLDS


def test_codebooks_are_the_published_ones():
    """As the appendix of arXiv 2411.02397 prints them for Open-Sora at 100 and 30 steps."""
    assert dict(CODEBOOK_100) == {0.03: 12, 0.05: 10, 0.07: 8, 0.09: 6, 0.11: 4, 1.00: 3}
    assert dict(CODEBOOK_30) == {0.08: 6, 0.16: 5, 0.24: 4, 0.32: 3, 0.40: 2, 1.00: 1}


def plain(schedule, shown):
    """The decisions of a plain loop with a schedule's settings."""
    if isinstance(schedule, TeaCacheSchedule):
        assert schedule.max_interval is None
        return teacache(shown, schedule.threshold, schedule.polynomial)
    if isinstance(schedule, FirstBlockSchedule):
        assert (schedule.max_interval, schedule.warmup) == (None, 1)
        return first_block(shown, schedule.threshold)
    if isinstance(schedule, AdaCacheSchedule):
        assert schedule.warmup == 2
        return adacache(shown, schedule.codebook)
    assert isinstance(schedule, SpeCaSchedule)
    return speca(
        shown,
        ours,
        threshold=schedule.threshold,
        decay=schedule.decay,
        floor=schedule.floor,
        least=schedule.min_skips - 1,
        most=schedule.max_skips,
        first=schedule.warmup,
    )


@pytest.mark.parametrize("model, name, sample", RUNS)
def test_decisions_of_real_runs(model, name, sample):
    """By the published rule in a plain loop, by the schedule, and as they were in the run."""
    run, schedule = SIGNALS[model][name][sample], config_of(model, name).schedule
    steps = run["steps"]
    assert plain(schedule, run["shown"]) == replayed(schedule, run["shown"]) == steps
    assert 2 < steps.count("f") < len(steps) / 2 and len(run["shown"]) == len(steps)


def test_real_runs_are_of_every_kind():
    """Samples of one model decide differently; TeaCache has polynomials and none."""
    kinds = {type(config_of(m, n).schedule) for m, names in SIGNALS.items() for n in names}
    assert kinds == {TeaCacheSchedule, FirstBlockSchedule, SpeCaSchedule, AdaCacheSchedule}
    assert {model: set(names) for model, names in SIGNALS.items()} == {
        model: set(names) for model, names in RECORDED.items()
    }
    both = [[run["steps"] for run in runs] for names in SIGNALS.values() for runs in names.values()]
    assert all(first != second for first, second in both)
    identity = TeaCacheSchedule.polynomial
    polynomials = [config_of(m, n).schedule for m, n in named("teacache")]
    assert sum(each.polynomial == identity for each in polynomials) == 2
    assert sum(len(each.polynomial) == 5 for each in polynomials) == 2


def named(start):
    return [(model, name) for model in SIGNALS for name in SIGNALS[model] if name.startswith(start)]


def test_decisions_hang_on_the_signals():
    """A quarter more of every change, and each run would have decided otherwise."""
    for model, name in named("teacache") + named("first-block"):
        schedule = config_of(model, name).schedule
        for run in SIGNALS[model][name]:
            more = [None if change is None else change * 1.25 for change in run["shown"]]
            assert replayed(schedule, more) == plain(schedule, more) != run["steps"]


@pytest.mark.parametrize("name", ["teacache-pictures", "first-block-fitted", "adacache"])
def test_the_models_still_show_them(name):
    """One picture is drawn again: the record is of these weights and of this code."""
    (again,) = record("pictures", name, SEEDS[:1])
    before = SIGNALS["pictures"][name][0]
    assert again["steps"] == before["steps"]
    pairs = zip(again["shown"], before["shown"], strict=True)
    assert all(a == b if None in (a, b) else a == pytest.approx(b, rel=0.01) for a, b in pairs)
