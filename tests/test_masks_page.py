"""The end of docs/learning.md is what bench/report.py makes of bench/results, and hides nothing."""

import pytest

import report
import report_masks
from clusca_ext import ExplicitSchedule, MaskSchedule
from clusca_ext.learning import ErrorCurves
from clusca_ext.presets import load_mask
from masks import Schedules, random_mask, settings
from report_cases import MISSING

ORIGIN = {"device": "A CPU, 2 cores", "commit": "abc", "torch": "2.13"}


def row(masks, forecaster, operations, psnr, seconds=(0.5, 0.5), removed=None, full=4.0):
    setting = next(s for s in settings() if (s.masks, s.forecaster) == (masks, forecaster))
    numbers = {"operations": operations, "psnr_db": list(psnr), "full": full, "error": None}
    times = {"seconds": list(seconds), "full_seconds": [1.0, 1.0], "removed": removed, "threads": 1}
    return {**setting.key(), **numbers, **times, **ORIGIN}


EVEN = [
    row("even, 11 full steps", "Taylor 1", 20 / 11, (40.0, 42.0), full=11.0),
    row("even, 16 full steps", "Taylor 1", 1.25, (46.0, 48.0), full=16.0),
]
LEARNT = row("learning-to-cache", "Taylor 1", 20 / 13, (48.0, 52.0), removed=0.25)


def test_the_page_is_of_the_results():
    page = report.LEARNING_PAGE.read_text()
    assert page == report_masks.page(page, report.results())


def test_masks_are_set_against_even_steps_of_as_many_operations():
    rows = report_masks.by_impl([*EVEN, LEARNT])
    over = report_masks.over_even(rows, LEARNT["impl"])
    assert over.interpolated
    assert over.value.mean == pytest.approx(6.6)  # two fifths from 11 to 16: 42.4 and 44.4
    assert report_masks.cells(rows, LEARNT["impl"]) == [
        *["learning-to-cache", "Taylor 1", "25.0%", "50.00 ± 2.00", "**~+6.60 ± 1.00**"],
        *["1.54x", "2.00 ± 0.00x"],
    ]
    even = report_masks.cells(rows, EVEN[0]["impl"])
    assert even[:5] == ["even, 11 full steps", "Taylor 1", "45.0%", "41.00 ± 1.00", ""]


def test_another_forecast_is_no_baseline():
    reuse = row("learning-to-cache", "reuse", 20 / 13, (48.0, 52.0))
    assert report_masks.over_even(report_masks.by_impl([*EVEN, reuse]), reuse["impl"]) is None


def test_what_is_left_out_may_cost_nothing():
    assert report_masks.efficiency(LEARNT).mean == pytest.approx(2.0 / (20 / 13))
    busy = row("learning-to-cache", "Taylor 1", 1.5, (48.0, 52.0), seconds=(0.5, 0.9, 0.9))
    assert report_masks.efficiency(busy) is None
    assert report_masks.cells(report_masks.by_impl([busy]), busy["impl"])[-1] == MISSING


def test_what_is_missing_is_named():
    text = report_masks.section([LEARNT])
    assert "Not measured: harmonica, Taylor 1;" in text
    assert "learning-to-cache, Taylor 1;" not in text and "A CPU, 2 cores, threads: 1;" in text
    assert f"python bench/masks.py`: {MISSING}." in report_masks.section([])


def test_random_masks_compute_as_many_modules_at_each_step():
    like = load_mask("digits-20-l2c")
    drawn = random_mask(like, 0)
    columns = [
        [sum(marks[step] for _, marks in each.modules) for step in range(each.num_steps)]
        for each in (like, drawn)
    ]
    assert columns[0] == columns[1]
    assert drawn != like and drawn != random_mask(like, 1) and drawn == random_mask(like, 0)


def test_every_setting_has_a_schedule_of_its_own_name():
    keys = [setting.key()["impl"] for setting in settings()]
    assert len(set(keys)) == len(keys)
    curves = ErrorCurves(
        num_steps=20,
        curves={
            name: (tuple(0.01 * i for i in range(19)),)
            for name, _ in load_mask("digits-20-l2c").modules
        },
    )
    schedules = Schedules(curves)
    for setting in settings():
        schedule = schedules.of(setting.masks)
        assert isinstance(schedule, MaskSchedule | ExplicitSchedule)
        setting.config(schedule)
