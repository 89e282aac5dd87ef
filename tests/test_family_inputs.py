"""Inputs of single families: what they broadcast, and what they refuse."""

import pytest
import torch

from clusca_ext import NoCorrection, cache
from families_image import FLUX2
from family import fixed
from test_families import TIMES, Oracle, assert_close, config


def test_flux2_of_one_timestep_for_all_rows():
    model = FLUX2.make()

    def sample(on_step=lambda step: None):
        outputs = []
        for step, timestep in enumerate(TIMES):
            on_step(step)
            inputs = FLUX2.inputs(fixed(*FLUX2.noise, seed=step), timestep)
            inputs["timestep"], inputs["guidance"] = inputs["timestep"][:1], inputs["guidance"][:1]
            outputs.append(model(**inputs, return_dict=False)[0])
        return outputs

    with torch.no_grad():
        with cache(model, config(NoCorrection()), timesteps=TIMES):
            got = sample()
        assert_close(got, sample(Oracle(FLUX2, model, 1).at))


def test_flux2_refuses_a_cache_of_reference_tokens():
    model = FLUX2.make()
    inputs = FLUX2.inputs(fixed(*FLUX2.noise), 900.0)
    with (
        cache(model, config(NoCorrection()), timesteps=TIMES),
        pytest.raises(ValueError, match="kv_cache_mode must be None: .* got 'extract'"),
    ):
        model(**inputs, kv_cache_mode="extract", num_ref_tokens=4)
