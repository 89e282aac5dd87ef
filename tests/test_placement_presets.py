"""Placements that ship: each is what was searched, and what bench/results say of it."""

import pytest

import report
from clusca_ext import cache, summary
from clusca_ext.presets.placements import load_placement, placement_presets
from placement_search import SEARCH, SETTINGS
from small_dit import options, sample


def test_those_there_are():
    assert placement_presets() == ["digits-50-10"]
    with pytest.raises(ValueError, match=r"name must be one of \['digits-50-10'\], got 'none'"):
        load_placement("none")


def test_it_is_what_was_measured():
    found = load_placement("digits-50-10")
    assert found.settings == SEARCH
    shape = SETTINGS[0].key(len(SEARCH.held_out))["shape"]
    rows = [row for row in report.results() if row.get("shape") == shape]
    assert rows
    for row in rows:
        assert row["found"] == list(found.steps) and row["tries"] == found.tries
        gain = found.held_out_gain
        assert row["over_even_db"] == pytest.approx([gain.mean, gain.error], abs=1e-4)
        assert gain.mean > 2 * gain.error


def test_it_runs_at_any_length(model):
    found = load_placement("digits-50-10")
    assert found.schedule.full_steps(50) == found.steps
    assert len(found.schedule.with_count(4).full_steps(12)) == 4
    with cache(model, found.config(), **options(50)):
        assert sample(model, steps=50, samples=1).isfinite().all()
        done = summary(model)
    assert (done.full, done.cached) == (10, 40)
