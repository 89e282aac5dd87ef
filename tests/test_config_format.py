"""Saved configurations of older and newer releases."""

import json

import pytest

from clusca_ext import ClusCaConfig, EvenSchedule, IntervalSchedule, config_format
from clusca_ext.methods import METHODS, method

SAVED = {"version": 1, "schedule": {"type": "IntervalSchedule", "interval": 6}, "seed": 3}


def test_a_file_says_its_format(tmp_path):
    path = tmp_path / "config.json"
    ClusCaConfig().save(path)
    assert json.loads(path.read_text())["version"] == config_format.VERSION


@pytest.mark.parametrize("values", [SAVED, {k: v for k, v in SAVED.items() if k != "version"}])
def test_the_first_format_is_read_with_and_without_its_number(values):
    config = ClusCaConfig(schedule=IntervalSchedule(interval=6), seed=3)
    assert ClusCaConfig.from_dict(values) == config


@pytest.mark.parametrize("version", [0, -1, True, "1", None, 1.0])
def test_a_format_is_a_number(version):
    with pytest.raises(ValueError, match="version must be an integer from 1 to 1, got "):
        ClusCaConfig.from_dict({"version": version})


def test_a_newer_format_says_what_to_do():
    message = "version must be at most 1, got 2: .* newer clusca_ext; update this one, or save it"
    with pytest.raises(ValueError, match=message):
        ClusCaConfig.from_dict({"version": 2, "seed": 1})


@pytest.fixture
def renamed(monkeypatch):
    """A release whose format is 2, because a key of its schedules was called otherwise before."""
    monkeypatch.setattr(config_format, "VERSION", 2)
    monkeypatch.setattr(config_format, "RENAMED", {"EvenSchedule": {"gap": "interval"}})


def test_an_older_format_is_read_by_its_own_names(renamed):
    old = {"version": 1, "schedule": {"type": "EvenSchedule", "gap": 7}}
    assert ClusCaConfig.from_dict(old).schedule == EvenSchedule(interval=7)


def test_an_old_name_in_the_present_format_is_told(renamed):
    values = {"version": 2, "schedule": {"type": "EvenSchedule", "gap": 7}}
    message = "EvenSchedule has no key 'gap': it is called 'interval' now, so rename it; it knows"
    with pytest.raises(ValueError, match=message):
        ClusCaConfig.from_dict(values)


def test_one_value_under_two_names_is_refused(renamed):
    both = {"version": 1, "schedule": {"type": "EvenSchedule", "gap": 7, "interval": 6}}
    with pytest.raises(ValueError, match="EvenSchedule must have one 'interval', got it under two"):
        ClusCaConfig.from_dict(both)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"shedule": None}, "has no key 'shedule': perhaps 'schedule' is meant; it knows"),
        ({"zzz": None}, "has no key 'zzz'; it knows"),
    ],
)
def test_an_unknown_key_is_told_what_is_near(values, message):
    with pytest.raises(ValueError, match=message):
        ClusCaConfig.from_dict(values)


@pytest.mark.parametrize("name", METHODS)
def test_a_dictionary_is_what_a_file_holds(name):
    """Also of tuples in tuples: PAB's ranges, AdaCache's codebook."""
    saved = method(name).to_dict()
    assert json.loads(json.dumps(saved)) == saved
    assert ClusCaConfig.from_dict(saved) == method(name)
