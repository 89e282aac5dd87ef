"""bench/lean.py: every storage in the same steps, and what the page shows of it."""

import pytest

import lean
import report_runs
from clusca_ext import estimate_memory
from clusca_ext.demo.pipeline import load_digits
from lean import Seen, cached, configs, ratios, rounds_of, row_of, untouched
from report_cases import MISSING

NAMES = [f"{s}, {c}" for s in lean.STORAGES for c in lean.CORRECTORS]


@pytest.fixture(scope="module")
def digits():
    pipeline = load_digits()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_every_storage_is_measured_with_and_without_clusters():
    assert list(configs(5)) == NAMES and len(NAMES) == 8
    assert {config.schedule.interval for config in configs(6).values()} == {6}


@pytest.mark.parametrize(
    "name", ["per block, clusters", "window, forecast only", "exact, clusters"]
)
def test_a_row_is_of_the_course_of_a_whole_run(name, digits):
    """Broken off, it has the sums of fifty steps, as many as are estimated."""
    config, calls = configs(5)[name], []
    handle = digits.transformer.register_forward_hook(lambda *_: calls.append(1))
    seen = cached(digits, [3], config)
    handle.remove()
    assert len(calls) == 10  # the second full step is the fifth, the third the tenth
    row = row_of(digits, 1, config, [(seen, untouched(digits, [3]))] * 2)
    assert (row["full"], row["cached"], row["rounds"]) == (12, 38, 2)
    assert 1 < row["counted_speedup"] < 50 / 12
    shape = (2, 1, 32, 32)
    assert row["estimated_mib"] * 2**20 == pytest.approx(
        estimate_memory(digits, shape, config).total, abs=2**14
    )
    assert row["cache_mib"] >= row["estimated_mib"] - 0.01  # and planned modulation
    assert name.split(",")[0] in row["storage"].replace("_", " ")
    digits([3], num_inference_steps=1)  # nothing is left of it


def test_a_run_is_composed_of_its_steps():
    found = ratios(configs(6)["gated, clusters"], Seen(full=2.2, cached=0.2), Seen(full=2.0))
    assert found["cached_step"] == pytest.approx(0.1)
    assert found["full_overhead"] == pytest.approx(0.1)
    assert found["speedup"] == pytest.approx(50 * 2.0 / (10 * 2.2 + 40 * 0.2))


def test_medians_are_of_rounds(digits):
    config = configs(5)["gated, forecast only"]
    said = cached(digits, [3], config).summary
    rounds = [(Seen(full, 0.1, said), Seen(1.0)) for full in (1.0, 1.5, 1.02)]
    assert row_of(digits, 1, config, rounds)["full_overhead"] == pytest.approx(0.02)


def rounds_between(bases, tries):
    """What counts as quiet, where the untouched model takes these seconds."""
    seconds = iter(bases)
    return rounds_of(lambda: Seen(next(seconds)), lambda: Seen(1.0), count=2, tries=tries)


def test_a_round_counts_between_two_alike():
    assert [base.full for _, base in rounds_between([1.0, 1.04, 1.2, 1.2, 9.0], 9)] == [1.02, 1.2]


def test_rounds_of_a_busy_machine_do_not_count():
    assert rounds_between([1.0, 1.06, 1.0, 1.06, 1.0], 4) == []


def row(name, interval, **more):
    values = {
        "cached_step": 0.0712,
        "full_overhead": 0.0214,
        "speedup": 3.5,
        "cache_mib": 88.4,
        "threads": 2,
    }
    origin = {"device": "A CPU, 2 cores", "commit": "abc", "torch": "2.13", "dtype": "float32"}
    shape = f"digits-demo B64 N256 D128, DDIM 50 steps, interval {interval}"
    given = {"bench": "lean", "shape": shape, "impl": name, "counted_speedup": 3.77, "threads": 2}
    return {**given, **values, **origin, **more}


def test_the_page_shows_intervals_beside_each_other():
    rows = [row("window, clusters", 5), row("window, clusters", 6, full_overhead=-0.004)]
    lines = report_runs.lean(rows)
    (line,) = [line for line in lines if line.startswith("| window, clusters |")]
    first, second = "| 0.071 | +2.1% | 3.50x | 3.77x | 88 |", "| 0.071 | -0.4% |"
    assert first in line and second in line
    (other,) = [line for line in lines if line.startswith("| exact, clusters |")]
    assert other.count(MISSING) == 2
    assert any("commit abc" in line and "`python bench/lean.py`" in line for line in lines)


def test_what_was_not_measured_says_so():
    lines = report_runs.lean([])
    assert all(any(f"| {name} | {MISSING} |" in line for line in lines) for name in NAMES)
