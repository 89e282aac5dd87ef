"""Masks that are stored: they fit their model, and their reports are of them."""

import pytest

from clusca_ext import ClusCaConfig, cache
from clusca_ext.demo.pipeline import load_digits
from clusca_ext.learning.comparison import even_steps
from clusca_ext.presets import load_mask, mask_presets, mask_report


def test_they_are_there():
    assert mask_presets() == ["digits-20-harmonica", "digits-20-l2c"]
    known = r"\['digits-20-harmonica', 'digits-20-l2c'\]"
    with pytest.raises(ValueError, match=rf"name must be one of {known}, got '../x'"):
        load_mask("../x")


@pytest.mark.parametrize("name", mask_presets())
def test_a_report_is_of_its_masks(name):
    schedule, report = load_mask(name), mask_report(name)
    assert report["num_steps"] == schedule.num_steps
    assert report["removed"] == round(schedule.removed, 4)
    assert report["psnr_samples"] >= 32
    for row in report["psnr_and_standard_error"].values():
        assert row["gain"][0] == pytest.approx(row["learned"][0] - row["even"][0], abs=0.011)
    assert 0 < schedule.removed < 0.5 and len(even_steps(schedule)) < schedule.num_steps


@pytest.mark.parametrize("name", mask_presets())
def test_they_fit_the_digits_model(name):
    with cache(load_digits(), ClusCaConfig(schedule=load_mask(name))):
        pass
