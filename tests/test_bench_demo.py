"""When the demo's measured rows are trusted."""

import pytest

import demo


def rows(speedup):
    return [
        {"interval": 0, "impl": "full sampler", "full": 50, "speedup": 1.0},
        {"interval": 6, "impl": "fewer steps", "full": 10, "speedup": speedup},
        {"interval": 6, "impl": "reuse", "full": 10, "speedup": 4.0},
    ]


@pytest.mark.parametrize("speedup", [4.91, 5.0, 5.09])
def test_a_quiet_machine_takes_a_fifth_of_the_time_for_a_fifth_of_the_steps(speedup):
    demo.require_quiet(rows(speedup))


@pytest.mark.parametrize("speedup", [4.84, 5.2])
def test_rows_of_a_busy_machine_are_refused(speedup):
    with pytest.raises(SystemExit, match=r"10 of 50 steps must take 1/5.00 of the time, got 1/"):
        demo.require_quiet(rows(speedup))
