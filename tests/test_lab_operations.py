"""What the laboratory compares at as many operations, and how these are counted."""

import dataclasses
import statistics

import numpy as np
import pytest

from clusca_ext import (
    CATScores,
    ClusCaConfig,
    EvenSchedule,
    NoCorrection,
    RandomScores,
    ReuseForecaster,
    TeaCacheSchedule,
    TokenCorrector,
)
from clusca_ext.demo.flops import kmeans_operations
from clusca_ext.lab.comparison import Baseline, groups
from clusca_ext.lab.grid import settings
from clusca_ext.lab.methods import BASELINE
from clusca_ext.lab.models import open_model
from clusca_ext.lab.operations import Operations
from lab_cases import measure


def test_between_two_numbers_of_full_steps_the_baseline_is_interpolated(tmp_path):
    outcome, _ = measure(tmp_path)
    group = groups(outcome.rows)[0]
    low, high = sorted(
        (r for r in group.rows if r["order"] == 1 and r["method"] == BASELINE),
        key=lambda r: r["full"],
    )
    middle = (low["full"] + high["full"]) / 2
    expected = (np.array(low["psnr_db"]) + np.array(high["psnr_db"])) / 2
    row = low | {"full": middle, "psnr_db": list(expected + 1)}
    over = Baseline(group).over(row)
    assert over.interpolated and over.value.mean == pytest.approx(1)
    assert Baseline(group).over(row | {"full": low["full"] - 1}) is None
    masked = row | {"partial": 3, "steps": 40, "operations": 40 / middle}
    assert Baseline(group).over(masked).value.mean == pytest.approx(1)


def test_the_baseline_has_every_number_of_full_steps(tmp_path):
    """Points of it, and no methods of the tables; one of all steps, which is no cache, is none."""
    outcome, _ = measure(tmp_path, grid=settings(["reuse", BASELINE], [4, 6], [1], [5, 40]))
    (group,) = groups(outcome.rows)
    assert {row["method"] for row in group.rows} == {"reuse", BASELINE}
    assert [row["full"] for row in group.counts] == [5, 40]
    five = group.counts[0]
    over = Baseline(group).over(
        five | {"method": "reuse", "psnr_db": [p + 1 for p in five["psnr_db"]]}
    )
    assert not over.interpolated and over.value.mean == pytest.approx(1)
    assert Baseline(group).over(five | {"full": 30}) is None


def test_operations_are_those_of_all_samples():
    """Two are counted; where a schedule decides for each, the others may take more full steps."""
    model = open_model("digits", steps=8)
    config = ClusCaConfig(
        schedule=TeaCacheSchedule(threshold=0.2),
        corrector=NoCorrection(),
        forecaster=ReuseForecaster(),
    )
    operations = Operations(model, [0, 1])
    full = statistics.mean(model.draw(config, [0, 1]).summary.full_by_sample)
    assert 1 < full < 7
    assert operations.ratio(config, full=full) == pytest.approx(operations.ratio(config))
    assert operations.ratio(config, full=8) == pytest.approx(1)
    between = 2 / (1 / operations.ratio(config) + 1)
    assert operations.ratio(config, full=(full + 8) / 2) == pytest.approx(between)
    even = dataclasses.replace(config, schedule=EvenSchedule(interval=4))
    assert operations.ratio(even, full=8) == operations.ratio(even)


def test_k_means_is_counted_by_its_clusters():
    """Whatever number of tokens is computed."""
    model = open_model("digits", steps=6)
    for scores, num_clusters in ((CATScores(num_clusters=5), 5), (RandomScores(), 0)):
        corrector = TokenCorrector(ratio=0.1, scores=scores)
        said = model.draw(ClusCaConfig(corrector=corrector), [0, 1]).summary
        passes = said.clusterings * ((said.kmeans_iterations or 0) + 1)
        expected = passes * 2 * 2 * 256 * num_clusters * 128  # of two samples, tokens, channels
        assert kmeans_operations(said, 2, 128) == expected and bool(expected) == bool(num_clusters)


def test_what_cached_steps_compute_counts(tmp_path):
    """As many full steps, and blocks or tokens beside them: compared with more full steps."""
    outcome, _ = measure(tmp_path)
    low, high = sorted(
        (r for r in outcome.rows if r["order"] == 1 and r["method"] == BASELINE),
        key=lambda r: r["full"],
    )
    counted = [row | {"operations": 40 / row["full"]} for row in (low, high)]
    group = groups(counted)[0]
    verifying = low | {"operations": 40 / (high["full"] * 1.0005), "psnr_db": high["psnr_db"]}
    over = Baseline(group).over(verifying)
    assert not over.interpolated and over.value.mean == 0  # operations within 0.1 % are as many
    assert Baseline(group).over(counted[0] | {"psnr_db": high["psnr_db"]}).value.mean > 0
