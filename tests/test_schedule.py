"""Which steps are full."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusca_ext import (
    ClusCaConfig,
    EvenSchedule,
    ExplicitSchedule,
    IntervalSchedule,
    PlacedSchedule,
    PyramidSchedule,
)
from clusca_ext.schedule import Step


def full_steps(schedule, num_steps, known=True):
    decide = schedule.start(num_steps if known else None)
    return [i for i in range(num_steps) if decide(Step(i, num_steps if known else None))]


@pytest.mark.parametrize(
    "interval, warmup, num_steps, expected",
    [
        pytest.param(4, 2, 14, [0, 1, 5, 9, 13], id="paper-dit"),
        pytest.param(5, 3, 14, [0, 1, 2, 7, 12], id="paper-flux"),
        pytest.param(5, 1, 12, [0, 5, 10], id="paper-hunyuan-video"),
        pytest.param(1, 1, 5, [0, 1, 2, 3, 4], id="interval-1-is-all"),
        pytest.param(9, 2, 5, [0, 1], id="interval-beyond-the-run"),
        pytest.param(5, 3, 1, [0], id="one-step"),
    ],
)
def test_interval(interval, warmup, num_steps, expected):
    schedule = IntervalSchedule(interval=interval, warmup=warmup)
    assert full_steps(schedule, num_steps) == expected
    assert full_steps(schedule, num_steps, known=False) == expected


def test_interval_with_a_full_last_step():
    schedule = IntervalSchedule(interval=4, warmup=2, last_full=True)
    assert full_steps(schedule, 12) == [0, 1, 5, 9, 11]
    with pytest.raises(ValueError, match="last_full=True needs a run whose number of steps"):
        schedule.start(None)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 5, 7, 10, 28, 50, 100])
@pytest.mark.parametrize("interval", [1, 2, 4, 5, 6, 60])
@pytest.mark.parametrize("warmup", [1, 2, 3])
@pytest.mark.parametrize("tail", [0, 1, 3])
def test_even_spends_as_many_full_steps(num_steps, interval, warmup, tail):
    even = EvenSchedule(interval=interval, warmup=warmup, tail=tail)
    steps = full_steps(even, num_steps)
    budget = full_steps(IntervalSchedule(interval=interval, warmup=warmup), num_steps)
    assert len(steps) == len(budget)
    assert steps[0] == 0
    gaps = [b - a for a, b in zip(steps, steps[1:], strict=False)]
    assert max(gaps, default=0) - min(gaps, default=0) <= 1
    if len(steps) > 1 and num_steps - tail > len(steps):
        assert steps[-1] == num_steps - 1 - tail


def test_even_without_a_known_length_is_the_interval_schedule():
    even = EvenSchedule(interval=4, warmup=2)
    assert full_steps(even, 20, known=False) == full_steps(
        IntervalSchedule(interval=4, warmup=2), 20
    )


def test_explicit():
    assert full_steps(ExplicitSchedule(steps=[0, 3, 4, 9]), 12) == [0, 3, 4, 9]
    with pytest.raises(ValueError, match="steps must lie below the run's 9, got 9"):
        ExplicitSchedule(steps=(0, 9)).start(9)


FRACTIONS = st.sets(st.floats(0, 1, exclude_min=True), max_size=9).map(
    lambda later: (0, *sorted(later))
)


@given(FRACTIONS, st.integers(1, 60))
def test_placed_keeps_its_number_of_full_steps(fractions, num_steps):
    schedule = PlacedSchedule(fractions=fractions)
    steps = schedule.full_steps(num_steps)
    assert full_steps(schedule, num_steps) == list(steps) == sorted(set(steps))
    assert len(steps) == min(len(fractions), num_steps)
    assert steps[0] == 0 and steps[-1] < num_steps


@given(st.sets(st.integers(1, 49), max_size=20))
def test_placed_is_exact_where_it_was_found(later):
    steps = (0, *sorted(later))
    schedule = PlacedSchedule(fractions=tuple(step / 49 for step in steps))
    assert schedule.full_steps(50) == steps
    if later:
        assert schedule.with_count(len(steps)).full_steps(50) == steps


def test_placed_at_other_lengths_and_counts():
    schedule = PlacedSchedule(fractions=(0, 0.1, 0.2, 1))
    assert schedule.full_steps(11) == (0, 1, 2, 10)
    assert schedule.full_steps(101) == (0, 10, 20, 100)
    assert schedule.full_steps(4) == (0, 1, 2, 3)
    assert schedule.with_count(2).fractions == (0, 1)
    assert schedule.with_count(7).fractions == pytest.approx((0, 0.05, 0.1, 0.15, 0.2, 0.6, 1))
    late = PlacedSchedule(fractions=(0, 0.98, 0.99, 1))  # moved on, then back from the end
    assert late.full_steps(10) == (0, 7, 8, 9)
    with pytest.raises(ValueError, match="PlacedSchedule needs a run whose number of steps"):
        schedule.start(None)
    with pytest.raises(ValueError, match="with_count needs a schedule of at least 2 fractions"):
        PlacedSchedule(fractions=(0,)).with_count(3)


def test_placed_is_saved_and_loaded():
    config = ClusCaConfig(schedule=PlacedSchedule(fractions=(0, 1 / 3, 1)))
    assert ClusCaConfig.from_dict(config.to_dict()) == config


def test_pyramid():
    """Of 20 steps, 4 to 17 are the middle: attention every second, attention to text every sixth.

    A of all modules, a of all but attention to text, m of MLPs alone.
    """
    modules = frozenset((block, name) for block in (0, 1) for name in ("attn", "cross", "mlp"))
    decide, made = PyramidSchedule().start(20), ""
    for index in range(20):
        decision = decide(Step(index, 20, modules=modules))
        names = {"attn", "cross", "mlp"} if decision is True else {name for _, name in decision}
        made += {3: "A", 2: "a", 1: "m"}[len(names)]
        assert "mlp" in names and ("cross" not in names or "attn" in names)
        assert decision is True or decision == {key for key in modules if key[1] in names}
    assert made == "AAAA" + "Amamam" + "Amamam" + "Am" + "AA"


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: IntervalSchedule(interval=0), "interval must be an integer of at least 1, got 0"),
        (lambda: IntervalSchedule(interval=-3), "interval must be an integer of at least 1, got -"),
        (lambda: IntervalSchedule(interval=2.5), "interval must be an integer .* got 2.5"),
        (lambda: IntervalSchedule(warmup=0), "warmup must be an integer of at least 1, got 0"),
        (lambda: EvenSchedule(interval=True), "interval must be an integer .* got True"),
        (lambda: EvenSchedule(tail=-1), "tail must be an integer of at least 0, got -1"),
        (lambda: IntervalSchedule(last_full="no"), "last_full must be True or False, got 'no'"),
        (lambda: ExplicitSchedule(steps=None), "steps must be a sequence of integers, got None"),
        (lambda: ExplicitSchedule(steps=(0, True)), "every one of steps must be .* got True"),
        (lambda: ExplicitSchedule(steps=()), r"steps must ascend and begin with 0, got \[\]"),
        (lambda: ExplicitSchedule(steps=(1, 2)), "steps must ascend and begin with 0"),
        (lambda: ExplicitSchedule(steps=(0, 4, 4)), "steps must ascend and begin with 0"),
        (lambda: PlacedSchedule(fractions=3), "fractions must be a sequence of numbers, got 3"),
        (lambda: PlacedSchedule(fractions=()), r"fractions must ascend and begin with 0, got \[\]"),
        (lambda: PlacedSchedule(fractions=(0, 0.5, 0.5)), "fractions must ascend and begin with"),
        (lambda: PlacedSchedule(fractions=(0.1, 0.5)), "fractions must ascend and begin with 0"),
        (lambda: PlacedSchedule(fractions=(0, 2)), r"of fractions must lie in \[0, 1\], got 2"),
        (lambda: PlacedSchedule(fractions=(0, float("nan"))), r"lie in \[0, 1\], got nan"),
        (lambda: PlacedSchedule(fractions=(0, "1")), "of fractions must be a number, got '1'"),
        (lambda: ExplicitSchedule(steps=(0, -4)), "every one of steps must be an integer"),
    ],
)
def test_rejects(make, message):
    with pytest.raises(ValueError, match=message):
        make()
