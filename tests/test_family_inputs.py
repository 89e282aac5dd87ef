"""What single families do beside the rest: inputs they broadcast or refuse, masks."""

import pytest
import torch

from clusca_ext import ClusCaConfig, NoCorrection, cache
from families_image import FLUX2
from families_video import MOCHI
from family import fixed
from test_families import TIMES, Oracle, assert_close, config, run


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


class Mlps:
    """A full step, then steps that compute the MLPs."""

    def start(self, num_steps):
        mlps = frozenset((index, "mlp") for index in range(2))
        return lambda step: step.index == 0 or mlps


@pytest.mark.parametrize("family", [MOCHI], ids=str)
def test_a_mask_computes_mlps_that_are_normalised_behind(family):
    model = family.make()
    with cache(model, ClusCaConfig(schedule=Mlps(), corrector=NoCorrection()), timesteps=TIMES):
        got = run(family, model)
    oracle = Oracle(family, model, 1, computed=family.mlps, full=(0,))
    assert_close(got, run(family, model, oracle.at))
