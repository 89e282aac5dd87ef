"""The laboratory's grid: rows as they come, resumed, paired; one failure does not lose the rest."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import results
from clusca_ext.demo.judge import psnr
from clusca_ext.lab import metrics, rows
from clusca_ext.lab.comparison import Baseline, groups
from clusca_ext.lab.drawn import Drawn
from clusca_ext.lab.full import FullSampler
from clusca_ext.lab.grid import settings
from clusca_ext.lab.journal import read
from clusca_ext.lab.methods import BASELINE, COUNTS, METHODS
from clusca_ext.lab.models import open_model
from clusca_ext.lab.rows import Plan
from clusca_ext.lab.times import time_ratio
from clusca_ext.measuring.timing import DEVICE
from clusca_ext.origin import device_name, machine, origin, sources
from clusca_ext.search.moves import even_placement
from lab_cases import (
    GRID,
    ORIGIN,
    MeanFeatures,
    SyntheticModel,
    Watch,
    cached_runs,
    measure,
)


def test_the_grid_has_every_combination_once():
    places = [(each.method, each.interval, each.order) for each in GRID]
    assert len(set(places)) == len(places) == 2 * (2 + 1 + 2)
    assert ("reuse", 4, 0) in places and GRID[0].method == BASELINE
    more = settings(["reuse"], [4], [1], baseline=[2, 4])
    places = [(each.method, each.interval, each.order) for each in more]
    assert places == [(COUNTS, 2, 1), (COUNTS, 4, 1), ("reuse", 4, 0)]
    for each in more[:2]:
        assert len(each.config.schedule.full_steps(50)) == each.interval
        assert each.config.schedule.full_steps(50) == even_placement(50, each.interval)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((["best"], [4], [1]), r"methods must be some of \['taylor-even', .*got \['best'\]"),
        (([], [4], [1]), r"methods must be some of .*, got \[\]"),
        ((["reuse"], [0], [1]), "every one of intervals must be an integer of at least 1, got 0"),
        ((["reuse"], [4], [9]), r"every one of orders must be an integer in \[0, 7\], got 9"),
    ],
)
def test_a_grid_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        settings(*arguments)


def test_an_interrupted_run_goes_on_and_measures_nothing_twice(tmp_path):
    whole, _ = measure(tmp_path / "whole")
    first, second = SyntheticModel(), SyntheticModel()
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path / "parts", first, Watch(stop_after=4))
    outcome, journal = measure(tmp_path / "parts", second)
    assert outcome.rows == whole.rows == journal.rows == read(tmp_path / "parts/rows.jsonl")
    assert outcome.measured == len(GRID) - 4
    assert not {*cached_runs(first)} & {*cached_runs(second)}
    assert None not in [config for config, _ in second.drawn]  # its pictures are in a file
    third = SyntheticModel()
    again, _ = measure(tmp_path / "parts", third)
    assert again.rows == whole.rows and again.measured == 0 and not third.drawn


def test_a_torn_line_is_measured_again(tmp_path):
    whole, _ = measure(tmp_path)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    outcome, _ = measure(tmp_path)
    assert outcome.measured == 1 and outcome.rows == whole.rows == read(path)


def test_what_is_no_row_is_refused(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"key": []}\nnonsense\n')
    with pytest.raises(ValueError, match=r"line 2 of .*rows.jsonl must be a row of numbers, got"):
        measure(tmp_path)


def test_a_limit_leaves_the_rest(tmp_path):
    seconds = iter(range(100))
    outcome, _ = measure(tmp_path, seconds=3, clock=lambda: next(seconds))
    assert (outcome.measured, outcome.left) == (3, len(GRID) - 3)
    assert measure(tmp_path)[0].measured == len(GRID) - 3


def test_a_setting_that_fails_is_a_row_and_the_others_go_on(tmp_path):
    model = SyntheticModel(broken=lambda config: config == GRID[1].config)
    outcome, _ = measure(tmp_path, model)
    errors = [row["error"] for row in outcome.rows]
    assert errors[1] == "RuntimeError: it does not work"
    assert [i for i, error in enumerate(errors) if error] == [1]
    assert measure(tmp_path)[0].measured == 0  # a failure is a result


def test_a_configuration_that_cannot_be_made_fails_alone(tmp_path, monkeypatch):
    def refuse(interval, order):
        raise ValueError("order must be even")

    monkeypatch.setitem(METHODS, "refuse", refuse)
    outcome, _ = measure(tmp_path, grid=settings(["refuse", "reuse"], [4], [1]))
    assert [row["error"] for row in outcome.rows] == ["ValueError: order must be even", None]


def test_samples_that_decide_for_themselves_are_counted_by_themselves():
    def drawn(samples, **counts):
        said = replace(SyntheticModel()._summary(10), **counts)
        return Drawn(torch.zeros(samples, 1, 8, 8), 1.0, said)

    runs = [drawn(2, full_by_sample=(10, 14)), drawn(1, full_by_sample=(9,), partial=3)]
    found = rows.steps_of(runs)
    assert (found["full"], found["partial"]) == (11, 1)
    assert found["full"] + found["partial"] + found["cached"] == 40
    assert rows.steps_of([*runs, Drawn(torch.zeros(1, 1, 8, 8), 1.0, None)])["full"] is None


def test_pictures_that_are_not_numbers_fail(tmp_path):
    with pytest.raises(ValueError, match="images must be finite, got NaN or infinity"):
        metrics.decibels(torch.full((1, 1, 2, 2), math.nan), torch.zeros(1, 1, 2, 2))
    assert metrics.decibels(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)).item() == 120


def test_a_row_has_every_sample(tmp_path):
    outcome, _ = measure(tmp_path, SyntheticModel(judge=MeanFeatures()))
    model, row = SyntheticModel(), outcome.rows[0]
    images = model.draw(GRID[0].config, range(6)).images
    full = model.draw(None, range(6)).images
    assert row["psnr_db"] == pytest.approx(psnr(images, full).tolist(), rel=1e-4)
    distance = MeanFeatures().distance(images, full)
    assert row["distance"] == pytest.approx(distance.tolist(), rel=1e-4)
    assert row["frechet"][0] == pytest.approx(MeanFeatures().frechet(images, full), rel=1e-4)
    assert row["frechet"][1] > 0 and row["full"] + row["cached"] == 40
    assert row["machine"] == "a-cpu"
    assert len(row["seconds"]) == 1  # of four samples; the two that are left are no such batch
    json.dumps(outcome.rows, allow_nan=False)


# ---- statistics


def test_paired_differences_are_numpys(tmp_path):
    outcome, _ = measure(tmp_path)
    group = groups(outcome.rows)[0]
    baseline = Baseline(group)
    rows = {(row["method"], row["interval"], row["order"]): row for row in group.rows}
    ours, theirs = rows["hermite-even", 6, 2], rows[BASELINE, 6, 1]
    over = baseline.over(ours)
    gaps = np.array(ours["psnr_db"]) - np.array(theirs["psnr_db"])
    assert over.value.mean == pytest.approx(gaps.mean())
    assert over.value.error == pytest.approx(gaps.std(ddof=1) / np.sqrt(len(gaps)))
    assert not over.interpolated and over.is_beyond
    own = np.array(ours["psnr_db"])
    assert metrics.mean_of(ours["psnr_db"]).error == pytest.approx(own.std(ddof=1) / np.sqrt(6))
    assert over.value.error < own.std(ddof=1) / np.sqrt(6) / 100  # all samples share their own part
    assert baseline.over(theirs).value.mean == 0


def test_speed_is_the_median_of_runs():
    speed = metrics.speedup([12.0], [3.0, 4.0, 6.0])
    ratios = np.array([4.0, 3.0, 2.0])
    assert speed.mean == 3.0
    assert speed.error == pytest.approx(ratios.std(ddof=1) / np.sqrt(3))
    both = metrics.speedup([11.0, 13.0], [3.0, 4.0, 6.0])  # 12 +- 1
    assert both.mean == 3.0 and both.error == pytest.approx(math.hypot(speed.error, 1 / 4))


def test_the_jackknife_of_a_mean_is_its_standard_error():
    class Mean:
        def frechet(self, images, reference):
            return (images - reference).mean().item()

    values = torch.randn(8, 1, 1, 1, dtype=torch.float64)
    found = metrics.frechet(Mean(), values, torch.zeros_like(values))
    assert found.error == pytest.approx(values.std().item() / math.sqrt(8))


def test_time_is_the_sessions_own(tmp_path):
    outcome, _ = measure(tmp_path)
    row = outcome.rows[0]
    assert time_ratio(row).mean == pytest.approx(
        40 / (row["full"] + 0.02 * row["cached"]), rel=1e-3
    )


# ---- who measured, and a real model


def test_the_machine_is_called_as_in_bench():
    here = torch.device(DEVICE)
    assert results.machine() == machine(here)
    who = origin(here)
    assert who["device"] == device_name(here) and who["torch"] == torch.__version__
    assert len(sources()) == 12


def test_the_embedded_model(tmp_path):
    model = open_model("digits", steps=6)
    grid = settings(["taylor-even", "clusca-even"], [3], [1])
    outcome, _ = measure(tmp_path, model, grid=grid, plan=Plan(samples=2, batch=2))
    for row in outcome.rows:
        assert row["error"] is None and row["full"] + row["cached"] == 6
        assert 1 < row["operations"] < 6 / row["full"]
        assert (row["distance"] is None) == (model.features() is None) and row["cache_mib"] > 0
    kept = FullSampler(model, tmp_path / "full.safetensors", ORIGIN).images([1])
    torch.testing.assert_close(model.draw(None, [1]).images, kept, rtol=1e-4, atol=1e-4)
