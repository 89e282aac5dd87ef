"""Configurations: validated, saved and read again."""

import json
import re

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
    """A schedule, a forecaster and a selection in one."""

    order = 1

    def start(self, num_steps):
        return lambda step: True

    def weights(self, distance, spacing):
        return 1.0, 0.0

    def select(self, clusters, seed, layers):
        return [clusters.cluster_ids[:, : clusters.num_clusters]] * layers


@pytest.mark.parametrize(
    "name, make",
    [
        ("schedule", lambda: ClusCaConfig(schedule=Mine())),
        ("forecaster", lambda: ClusCaConfig(forecaster=Mine())),
        ("selection", lambda: ClusCaConfig(corrector=ClusterCorrector(selection=Mine()))),
    ],
)
def test_a_part_of_ones_own_is_taken_but_not_saved(name, make):
    config = make()
    with pytest.raises(ValueError, match=f"{name} must be one of clusca_ext's classes, got Mine"):
        config.to_dict()


@pytest.mark.parametrize(
    "values, message",
    [
        (
            {"shedule": {}},
            "the configuration has no key 'shedule': perhaps 'schedule' is meant; it",
        ),
        ({"schedule": {"type": "EvenSchedule", "intervall": 4}}, "has no key 'intervall'"),
        ({"schedule": {"type": "Even"}}, "type of schedule must be one of .* got 'Even'"),
        ({"schedule": {"interval": 4}}, "type of schedule must be one of .* got None"),
        ({"schedule": {"type": []}}, r"type of schedule must be one of .* got \[\]"),
        ({"schedule": {"type": "NoCorrection"}}, "schedule must be an object with a method start"),
        ({"schedule": "even"}, "schedule must be an object with a method start, got 'even'"),
        ({"forecaster": None}, "forecaster must be an object with a method weights, got None"),
        (
            {"corrector": None},
            "corrector must be a ClusterCorrector, a TokenCorrector or NoCorrection, got None",
        ),
        ({"schedule": {"type": "ExplicitSchedule"}}, "ExplicitSchedule: .*steps"),
        ({"forecaster": {"type": "TaylorForecaster", "order": "1"}}, "order must be an integer"),
        ({"corrector": {"type": "ClusterCorrector", "gamma": 2}}, r"gamma must be in \[0, 1\]"),
        (
            {"storage": "small"},
            'storage must be "per_block", "lean" or a LeanStorage, got \'small\'',
        ),
        ({"seed": 0.5}, "seed must be an integer in .* got 0.5"),
        (None, "the configuration must be a dict, got None"),
        ([], r"the configuration must be a dict, got \[\]"),
    ],
)
def test_rejects_a_wrong_file(values, message):
    with pytest.raises(ValueError, match=message):
        ClusCaConfig.from_dict(values)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"{", "must be a JSON file"),
        (b"\xff{}", "must be a JSON file: 'utf-8' codec"),
        (b"[]", "must hold a JSON object, got list"),
    ],
)
def test_rejects_what_is_not_a_configuration(content, message, tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"config.json {message}"):
        ClusCaConfig.load(path)


class WithoutOrder:
    def weights(self, distance, spacing):
        return (1.0,)


def test_rejects_a_forecaster_without_an_order():
    with pytest.raises(ValueError, match="order of forecaster must be an integer .* got None"):
        ClusCaConfig(forecaster=WithoutOrder())


@pytest.mark.parametrize(
    "name, value, demand",
    [
        ("num_clusters", 0, "an integer of at least 1"),
        ("num_clusters", 1.5, "an integer of at least 1"),
        ("max_iters", -1, r"an integer in \[0, 1000000\]"),
        ("max_iters", 2.5, r"an integer in \[0, 1000000\]"),
        ("max_iters", 2**63 - 1, r"an integer in \[0, 1000000\]"),
        ("gamma", True, "a number"),
        ("gamma", "0.1", "a number"),
        ("gamma", None, "a number"),
        ("gamma", -0.1, r"in \[0, 1\]"),
        ("gamma", float("nan"), "a finite number"),
        ("rtol", True, "a number"),
        ("rtol", "1e-4", "a number"),
        ("rtol", -1e-4, "at least 0"),
        ("rtol", float("nan"), "a finite number"),
        ("rule", "mean", "one of .*"),
        ("metric", "cos", "one of .*"),
        ("persistent", "no", "True or False"),
        ("share_cfg", "false", "True or False"),
        ("share_cfg", 0, "True or False"),
        ("source", 1.5, "the name or index of a block"),
        ("source", True, "the name or index of a block"),
        ("selection", "random", "an object with a method select"),
        ("selection", None, "an object with a method select"),
        ("selection", EvenSchedule(), "an object with a method select"),
    ],
)
def test_rejects_of_a_corrector(name, value, demand):
    got = re.escape(repr(value))
    with pytest.raises(ValueError, match=f"^{name} must be {demand}, got {got}$"):
        ClusterCorrector(**{name: value})


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ClusCaConfig.paper("sdxl"), "family must be one of .* got 'sdxl'"),
        (lambda: ClusCaConfig.paper([]), r"family must be one of .* got \[\]"),
        (lambda: ClusCaConfig(schedule=EvenSchedule), "schedule must be an object .* got <class"),
        (
            lambda: ClusCaConfig(forecaster=TaylorForecaster),
            "forecaster must be an object with a method weights, got <class",
        ),
        (
            lambda: ClusCaConfig(corrector=NoCorrection),
            "corrector must be a ClusterCorrector, a TokenCorrector or NoCorrection, got <class",
        ),
        (
            lambda: ClusterCorrector(selection=RandomPerStep),
            "selection must be an object with a method select, got <class",
        ),
        (lambda: GivenTokens(tokens=("a",)), "every one of tokens must be an integer .* got 'a'"),
        (lambda: GivenTokens(tokens=(-2,)), "every one of tokens must be an integer .* got -2"),
        (lambda: GivenTokens(tokens=(2**31,)), "every one of tokens must be .* got 2147483648"),
        (lambda: GivenTokens(tokens=3), "tokens must be a sequence of integers, got 3"),
        (lambda: ClusCaConfig(seed=2**63), "seed must be an integer in .* got 9223372036854775808"),
        (lambda: ClusCaConfig(seed=True), "seed must be an integer in .* got True"),
        (lambda: ClusCaConfig(corrector=3), "corrector must be a ClusterCorrector, .* got 3"),
        (lambda: ClusCaConfig(forecaster=3), "forecaster must be an object .* got 3"),
        (lambda: ClusterCorrector(persistent=True), 'persistent=True needs rule="value"'),
    ],
)
def test_rejects(make, message):
    with pytest.raises(ValueError, match=message):
        make()
