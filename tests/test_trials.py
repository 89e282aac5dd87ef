"""What calibration tries: trials that fail, and what is counted of them."""

from dataclasses import replace

import pytest

from clusca_ext import ClusCaConfig, HermiteForecaster, TeaCacheSchedule
from clusca_ext.lab import verdict
from clusca_ext.lab.target import Target
from clusca_ext.lab.trials import Candidate
from lab_cases import SyntheticModel
from test_calibrate import EFFORT, begin, find


def test_samples_that_decide_are_counted_each(tmp_path):
    """Operations of TeaCache are those of the trial's samples; of fixed steps any will do."""
    model = SyntheticModel()
    fixed, adapting = ClusCaConfig(), ClusCaConfig(schedule=TeaCacheSchedule())
    candidates = [Candidate("fixed", fixed), Candidate("adapting", adapting)]
    assert len(begin(tmp_path, model).tried(candidates, range(10, 13))) == 2
    eager = [replace(config, cuda_graph=False) for config in (fixed, adapting)]
    counted = [[seeds for config, seeds in model.drawn if config == each][-1] for each in eager]
    assert counted == [[0], [10, 11, 12]]


def test_candidates_that_fail_do_not_stop_it(tmp_path):
    model = SyntheticModel(lambda config: isinstance(config.forecaster, HermiteForecaster))
    found, trials = find(tmp_path, Target(speedup=4), model)
    assert not isinstance(found.best.candidate.config.forecaster, HermiteForecaster)
    said = verdict.words(found, Target(speedup=4), trials, EFFORT)
    assert any(line.startswith("Failed: hermite-even, interval") for line in said)
    with pytest.raises(ValueError, match="not one candidate could be measured: taylor-even.*work"):
        find(tmp_path / "all", Target(speedup=4), SyntheticModel(lambda config: True))
