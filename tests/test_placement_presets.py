"""Placements that ship: each is what was searched, and what bench/results say of it."""

import pytest

import report
from clusca_ext import cache, summary
from clusca_ext.lab.models import open_model
from clusca_ext.presets.placements import load_placement, placement_presets
from placement_settings import DIGITS, SEARCH
from small_dit import options, sample


def test_those_there_are():
    assert placement_presets() == ["digits-50-10", "pictures-25-6"]
    message = r"name must be one of \['digits-50-10', 'pictures-25-6'\], got 'none'"
    with pytest.raises(ValueError, match=message):
        load_placement("none")


@pytest.mark.parametrize("name", placement_presets())
def test_its_name_says_what_it_is_for_and_it_gains_on_seeds_it_has_not_seen(name):
    found = load_placement(name)
    settings = found.settings
    assert name == f"{name.partition('-')[0]}-{settings.num_steps}-{settings.full_steps}"
    assert not set(settings.training) & set(settings.held_out) and len(settings.held_out) >= 64
    assert found.held_out_gain.mean > 2 * found.held_out_gain.error


def test_the_pictures_placement_is_of_the_model_that_ships():
    assert open_model("pictures").weights in load_placement("pictures-25-6").settings.objective


def test_it_is_what_was_measured():
    found = load_placement("digits-50-10")
    assert found.settings == SEARCH
    shape = DIGITS[0].key(len(SEARCH.held_out))["shape"]
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
