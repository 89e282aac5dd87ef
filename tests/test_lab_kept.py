"""Which rows of the laboratory are kept, timed anew, taken from a twin, or measured again."""

import itertools
import subprocess
import sys

import pytest

import lab_cases
from clusca_ext import HermiteForecaster, TaylorForecaster
from clusca_ext.lab import rows, runner
from clusca_ext.lab.comparison import groups
from clusca_ext.lab.grid import settings
from clusca_ext.lab.journal import Journal, read
from clusca_ext.lab.methods import BASELINE, METHODS
from clusca_ext.lab.models import open_model
from clusca_ext.lab.times import is_timed
from clusca_ext.search import SearchSettings, find_placement
from clusca_ext.writing import alone
from lab_cases import GRID, ORIGIN, PLAN, SyntheticModel, cached_runs, measure


@pytest.mark.parametrize("name", ["version", "sources", "machine", "torch", "diffusers"])
def test_rows_of_other_sources_are_kept_where_pictures_are_the_same(tmp_path, name):
    before, _ = measure(tmp_path)
    model = SyntheticModel()
    outcome, journal = measure(tmp_path, model, who=ORIGIN | {name: "other"})
    assert (outcome.measured, outcome.renewed) == (0, len(GRID))
    batches = [len(seeds) for config, seeds in model.drawn if config]
    assert batches == [PLAN.batch, PLAN.batch, runner.COUNTED] * len(GRID)
    assert any(config is None for config, _ in model.drawn)  # pictures of its own
    for row, old in zip(outcome.rows, before.rows, strict=True):
        assert row[name] == "other" and len(row["seconds"]) == 2 and row["drawn_by"] == "abc"
        assert [row[each] for each in rows.QUALITY] == [old[each] for each in rows.QUALITY]
    assert read(journal.path) == [*before.rows, *outcome.rows]
    assert groups(journal.rows)[0].rows == tuple(outcome.rows)  # the newest are shown
    assert measure(tmp_path, who=ORIGIN | {name: "other"})[0].renewed == 0


def test_rows_of_other_sources_are_measured_again_where_pictures_differ(tmp_path, monkeypatch):
    measure(tmp_path)
    changed = GRID[2].config
    expected = lab_cases.expected_psnr
    monkeypatch.setattr(
        lab_cases, "expected_psnr", lambda config: expected(config) + 0.02 * (config == changed)
    )
    who = ORIGIN | {"sources": "other", "commit": "new"}
    outcome, _ = measure(tmp_path, who=who)
    assert (outcome.measured, outcome.renewed) == (1, len(GRID) - 1)
    drawn_by = ["new" if i == 2 else "abc" for i in range(len(GRID))]
    assert [row["drawn_by"] for row in outcome.rows] == drawn_by


def test_rows_of_another_kind_of_device_are_not_taken(tmp_path):
    measure(tmp_path)
    outcome, journal = measure(tmp_path, who=ORIGIN | {"machine": "other", "device": "A GPU"})
    assert outcome.measured == len(GRID) and len(groups(journal.rows)) == 2


def test_a_busy_machine_is_found_beside_its_own_rows(tmp_path):
    """Another is as fast as it is."""
    measure(tmp_path, grid=GRID[:3])

    class Slow(SyntheticModel):
        def full_seconds(self, seeds):
            return 2 * super().full_seconds(seeds)

    outcome, _ = measure(tmp_path, Slow(), grid=GRID[3:], who=ORIGIN | {"machine": "other"})
    (group,) = groups(outcome.rows)
    assert len(group.timed) == len(GRID) - 3
    again, _ = measure(
        tmp_path, grid=GRID[3:], who=ORIGIN | {"machine": "other"}, missing=True, times=True
    )
    assert (again.measured, again.renewed) == (0, 0)


def test_a_model_that_was_trained_on_is_measured_anew(tmp_path):
    before, _ = measure(tmp_path)
    model = SyntheticModel()
    model.weights = "more training"
    outcome, journal = measure(tmp_path, model, grid=GRID[:3])
    assert (outcome.measured, outcome.renewed) == (3, 0)
    assert any(config is None for config, _ in model.drawn)  # pictures of its own
    (group,) = groups(journal.rows)  # never beside the old ones
    assert group.rows == tuple(outcome.rows)
    (group,) = groups([*journal.rows, before.rows[0]])
    assert len(group.rows) == len(GRID) and {row["weights"] for row in group.rows} == {"w"}


def test_a_row_of_a_method_that_has_changed_is_not_shown(tmp_path, monkeypatch):
    _, journal = measure(tmp_path)
    changed = METHODS["hermite-even"]
    monkeypatch.setitem(
        METHODS, "hermite-even", lambda interval, order: changed(interval, order + 1)
    )
    (group,) = groups(journal.rows)
    assert {row["method"] for row in group.rows} == {"taylor-even", "reuse"}


def test_settings_that_draw_the_same_are_measured_once(tmp_path):
    """In 40 steps, even placements of intervals 13 and 14 have the same four full steps."""
    even = [METHODS[BASELINE](interval, 1).schedule.full_steps(40) for interval in (13, 14)]
    assert even[0] == even[1]
    model = SyntheticModel()
    outcome, _ = measure(tmp_path, model, grid=settings([BASELINE], [13, 14], [1, 2]))
    first, twin = (row for row in outcome.rows if row["order"] == 1)
    assert outcome.measured == 2 and twin["same_as"] == [BASELINE, 13, 1]
    assert [twin[name] for name in rows.QUALITY] == [first[name] for name in rows.QUALITY]
    assert len({config.schedule for config in cached_runs(model)}) == 1
    (group,) = groups(outcome.rows)
    assert len(group.good) == 4 and len(group.different) == 2
    assert measure(tmp_path, grid=settings([BASELINE], [13, 14], [1, 2]))[0].measured == 0


def test_even_placements_never_reach_the_bound():
    """So that their unbounded forecasts need no entries of their own."""
    for bounded, unbounded in (
        (TaylorForecaster(order=2), TaylorForecaster(order=2, bounded=False)),
        (HermiteForecaster(order=2), HermiteForecaster(order=2, bounded=False)),
    ):
        for steps, interval in itertools.product((25, 50), (2, 3, 4, 5, 6, 7, 8, 12)):
            full = METHODS[BASELINE](interval, 1).schedule.full_steps(steps)
            for before, last, then in zip(full[:-1], full[1:], [*full[2:], steps], strict=True):
                for step in range(last + 1, then):
                    at = step - last, last - before
                    assert bounded.weights(*at) == unbounded.weights(*at)


def test_a_setting_that_failed_is_measured_again_by_other_sources(tmp_path):
    measure(tmp_path, SyntheticModel(broken=lambda config: config == GRID[1].config))
    outcome, _ = measure(tmp_path, who=ORIGIN | {"sources": "other"})
    assert (outcome.measured, outcome.renewed) == (1, len(GRID) - 1)
    assert outcome.rows[1]["error"] is None


def test_only_what_is_missing_may_be_measured(tmp_path):
    before, _ = measure(tmp_path, SyntheticModel(broken=lambda config: config == GRID[1].config))
    outcome, journal = measure(tmp_path, who=ORIGIN | {"sources": "other"}, missing=True)
    assert (outcome.measured, outcome.renewed, outcome.left) == (1, 0, 0)
    assert [row["sources"] == "other" for row in outcome.rows] == [
        row["error"] is not None for row in before.rows
    ]
    assert groups(journal.rows)[0].failed == []


def test_times_of_a_busy_machine_are_taken_anew(tmp_path):
    class Busy(SyntheticModel):
        turns = 0

        def full_seconds(self, seeds):
            self.turns += 1
            return super().full_seconds(seeds) * (1.3 if self.turns == 3 else 1)

    outcome, _ = measure(tmp_path, Busy())  # around the settings it is timed at 0, 1, 2 and so on
    assert [is_timed(row) for row in outcome.rows] == [i != 1 and i != 2 for i in range(len(GRID))]
    assert measure(tmp_path)[0].renewed == 0  # not asked for
    again, _ = measure(tmp_path, times=True)
    assert (again.measured, again.renewed) == (0, 2) and all(map(is_timed, again.rows))
    assert measure(tmp_path, times=True)[0].renewed == 0


def test_a_time_of_another_machine_is_none_of_this_one(tmp_path):
    measure(tmp_path)
    who = ORIGIN | {"machine": "other"}
    assert measure(tmp_path, who=who, missing=True)[0].renewed == 0
    outcome, journal = measure(tmp_path, who=who, missing=True, times=True)
    assert (outcome.measured, outcome.renewed) == (0, len(GRID))
    (group,) = groups(journal.rows)
    assert group.machine == "other" and len(group.timed) == len(GRID)
    assert measure(tmp_path, who=who, missing=True, times=True)[0].renewed == 0


def test_a_row_whose_own_runs_differ_has_no_time():
    row = {"error": None, "full_seconds": [1.0, 1.1], "seconds": [0.5, 0.55, 0.56, 0.9]}
    assert is_timed(row)
    assert not is_timed(row | {"seconds": [0.5, 0.75, 0.8, 1.0]})
    assert not is_timed(row | {"full_seconds": [1.0, 1.2]})
    assert not is_timed(row | {"error": "ValueError: no"})


def test_a_machine_that_is_busy_all_the_while_gives_no_times(tmp_path):
    """The full sampler takes as long before and after, but longer than beside other settings."""

    class Busy(SyntheticModel):
        turns = 0

        def full_seconds(self, seeds):
            self.turns += 1
            return super().full_seconds(seeds) * (1.3 if self.turns > 5 else 1)

    outcome, _ = measure(tmp_path, Busy())
    assert sum(map(is_timed, outcome.rows)) == len(GRID) - 1
    (group,) = groups(outcome.rows)
    assert [group.is_timed(row) for row in outcome.rows] == [i < 4 for i in range(len(GRID))]
    assert group.timed == outcome.rows[:4]
    again, _ = measure(tmp_path, times=True)
    assert again.renewed == len(GRID) - 4 and len(groups(again.rows)[0].timed) == len(GRID)


def test_a_twin_of_other_sources_says_who_measured_it(tmp_path):
    """Where only what is missing is asked for; older rows say less of whoever that was."""
    _, journal = measure(tmp_path, grid=settings([BASELINE], [13], [1]))
    journal.path.write_text(journal.path.read_text().replace(', "diffusers": "0"', ""))
    who = ORIGIN | {"sources": "other"}
    model = SyntheticModel()
    outcome, _ = measure(
        tmp_path, model, who=who, grid=settings([BASELINE], [14], [1]), missing=True
    )
    (row,) = outcome.rows
    assert row["same_as"] == [BASELINE, 13, 1] and row["sources"] == ORIGIN["sources"]
    assert not cached_runs(model) and "diffusers" not in row
    assert measure(tmp_path, who=who, grid=settings([BASELINE], [14], [1]))[0].renewed == 1


def test_a_folders_sampler_is_part_of_what_it_draws(tmp_path):
    folder = lab_cases.small_folder(tmp_path / "small")
    before = open_model(folder).weights
    path = tmp_path / "small/scheduler/scheduler_config.json"
    path.write_text(path.read_text().replace('"v_prediction"', '"epsilon"'))
    assert open_model(folder).weights != before


def test_a_journal_has_one_writer(tmp_path):
    path = tmp_path / "rows.jsonl"
    script = (
        "import pathlib, sys; from clusca_ext.writing import alone\n"
        "with alone(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, path]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == b"held\n"
        said = "rows.jsonl is being written by another process: wait for it, or name another"
        with pytest.raises(ValueError, match=said), alone(path):
            raise AssertionError
        settings = SearchSettings(num_steps=6, full_steps=3, training=(0, 1), held_out=(2, 3))
        with pytest.raises(ValueError, match="is being written by another process"):
            find_placement(None, settings, tries=1, journal=path)
    with alone(path):
        pass


@pytest.mark.parametrize("content", [b"a letter", b'{"type": 1}', b"a letter\n", b"a\nb"])
def test_another_file_is_left_as_it_is(content, tmp_path):
    path = tmp_path / "letter.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="line 1 of .*letter.txt must be a row of numbers, got b"):
        Journal(path, ORIGIN)
    assert path.read_bytes() == content
