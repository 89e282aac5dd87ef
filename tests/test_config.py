"""Configurations: validated, saved and read again."""

import json

import pytest

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    EvenSchedule,
    ExplicitSchedule,
    GivenTokens,
    HermiteForecaster,
    IntervalSchedule,
    Nearest,
    NoCorrection,
    RandomPerLayer,
    RandomPerStep,
    ReuseForecaster,
    TaylorForecaster,
)

CONFIGS = [
    ClusCaConfig(),
    ClusCaConfig.paper("dit"),
    ClusCaConfig.paper("flux"),
    ClusCaConfig.paper("hunyuan_video"),
    ClusCaConfig(
        schedule=ExplicitSchedule(steps=(0, 3, 9)),
        forecaster=HermiteForecaster(sigma=0.5),
        corrector=NoCorrection(),
        seed=-4,
    ),
    ClusCaConfig(
        schedule=IntervalSchedule(interval=6, last_full=True),
        forecaster=ReuseForecaster(),
        corrector=ClusterCorrector(selection=GivenTokens(tokens=(1, 2)), num_clusters=2),
    ),
    ClusCaConfig(corrector=ClusterCorrector(selection=Nearest(), source=0, max_iters=0)),
]


def test_the_defaults_are_the_designs():
    config = ClusCaConfig()
    assert config.schedule == EvenSchedule(interval=5)
    assert config.forecaster == TaylorForecaster(order=1, bounded=True)
    corrector = config.corrector
    assert (corrector.num_clusters, corrector.gamma, corrector.rule) == (16, 0.1, "delta")
    assert (corrector.metric, corrector.max_iters, corrector.rtol) == ("l2", 10, 1e-4)
    assert corrector.share_cfg and not corrector.persistent
    assert corrector.selection == RandomPerStep()


@pytest.mark.parametrize(
    "family, schedule, order, clusters, gamma, max_iters",
    [
        ("dit", IntervalSchedule(interval=4, warmup=2), 4, 16, 0.005, 100),
        ("flux", IntervalSchedule(interval=5, warmup=3), 1, 16, 0.005, 10),
        ("hunyuan_video", IntervalSchedule(interval=5, warmup=1), 1, 32, 0.01, 10),
    ],
)
def test_the_papers_settings(family, schedule, order, clusters, gamma, max_iters):
    config = ClusCaConfig.paper(family)
    corrector = config.corrector
    assert config.schedule == schedule
    assert config.forecaster == TaylorForecaster(order=order, bounded=False)
    assert (corrector.num_clusters, corrector.gamma) == (clusters, gamma)
    assert corrector.max_iters == max_iters
    assert (corrector.rule, corrector.metric) == ("value", "l1")
    assert corrector.persistent and not corrector.share_cfg
    assert corrector.selection == RandomPerLayer()


@pytest.mark.parametrize("config", CONFIGS)
def test_survives_a_file(config, tmp_path):
    path = tmp_path / "config.json"
    config.save(path)
    assert ClusCaConfig.load(path) == config
    assert ClusCaConfig.from_dict(json.loads(path.read_text())) == config


def test_missing_keys_take_their_defaults():
    values = {"forecaster": {"type": "TaylorForecaster", "order": 2}}
    assert ClusCaConfig.from_dict(values) == ClusCaConfig(forecaster=TaylorForecaster(order=2))


class Mine:
    def start(self, num_steps):
        return lambda step: True


def test_a_part_of_ones_own_runs_but_is_not_saved():
    config = ClusCaConfig(schedule=Mine())
    with pytest.raises(ValueError, match="schedule must be one of clusca_ext's classes, got Mine"):
        config.to_dict()


@pytest.mark.parametrize(
    "values, message",
    [
        ({"shedule": {}}, "the configuration has no key 'shedule'; it knows"),
        ({"schedule": {"type": "EvenSchedule", "intervall": 4}}, "has no key 'intervall'"),
        ({"schedule": {"type": "Even"}}, "type of schedule must be one of .* got 'Even'"),
        ({"schedule": {"interval": 4}}, "type of schedule must be one of .* got None"),
        ({"schedule": {"type": "NoCorrection"}}, "schedule must have a method start"),
        ({"schedule": {"type": "ExplicitSchedule"}}, "ExplicitSchedule: .*steps"),
        ({"forecaster": {"type": "TaylorForecaster", "order": "1"}}, "order must be an integer"),
        ({"corrector": {"type": "ClusterCorrector", "gamma": 2}}, r"gamma must be in \[0, 1\]"),
        ({"storage": "lean"}, "storage must be \"per_block\", got 'lean'"),
        ({"version": 99}, "version must be 1, got 99"),
        ({"seed": 0.5}, "seed must be an integer, got 0.5"),
    ],
)
def test_rejects_a_wrong_file(values, message):
    with pytest.raises(ValueError, match=message):
        ClusCaConfig.from_dict(values)


@pytest.mark.parametrize("text, message", [("{", "must be a JSON file"), ("[]", "JSON object")])
def test_rejects_what_is_not_a_configuration(text, message, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        ClusCaConfig.load(path)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ClusCaConfig.paper("sdxl"), "family must be one of .* got 'sdxl'"),
        (lambda: ClusCaConfig(corrector=3), "corrector must be a ClusterCorrector .* got 3"),
        (lambda: ClusCaConfig(forecaster=3), "forecaster must have a method weights, got 3"),
        (lambda: ClusterCorrector(num_clusters=0), "num_clusters must be .* at least 1, got 0"),
        (lambda: ClusterCorrector(gamma=-0.1), r"gamma must be in \[0, 1\], got -0.1"),
        (lambda: ClusterCorrector(rule="mean"), "rule must be one of .* got 'mean'"),
        (lambda: ClusterCorrector(metric="cos"), "metric must be one of .* got 'cos'"),
        (lambda: ClusterCorrector(persistent=True), 'persistent=True needs rule="value"'),
        (lambda: ClusterCorrector(max_iters=-1), "max_iters must be .* at least 0, got -1"),
        (lambda: ClusterCorrector(rtol=float("nan")), "rtol must be at least 0, got nan"),
        (lambda: ClusterCorrector(source=1.5), "source must be the name or index of a block"),
    ],
)
def test_rejects(make, message):
    with pytest.raises(ValueError, match=message):
        make()
