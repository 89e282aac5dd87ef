"""What single families do beside the rest: inputs they broadcast or refuse, masks."""

import pytest
import torch

from bare_runs import BARE
from clusca_ext import ClusCaConfig, NoCorrection, cache, enable_cache, summary
from families_image import FLUX2, Z_IMAGE
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


@pytest.mark.parametrize("family", [MOCHI, Z_IMAGE], ids=str)
def test_a_mask_computes_mlps_that_are_normalised_behind(family):
    model = family.make()
    with cache(model, ClusCaConfig(schedule=Mlps(), corrector=NoCorrection()), timesteps=TIMES):
        got = run(family, model)
    oracle = Oracle(family, model, 1, computed=family.mlps, full=(0,))
    assert_close(got, run(family, model, oracle.at))


def z_image_inputs(timestep, sides=(16, 16), caption=7):
    inputs = Z_IMAGE.inputs(fixed(*Z_IMAGE.noise, seed=int(timestep)), timestep)
    inputs["x"] = [x[..., :side, :side] for x, side in zip(inputs["x"], sides, strict=True)]
    return inputs | {"cap_feats": list(fixed(2, 32, 16, seed=caption))}


def counts(model):
    return summary(model).full, summary(model).cached


@torch.no_grad()
def test_z_image_of_other_shapes_is_another_run():
    model = Z_IMAGE.make()
    enable_cache(model, BARE)
    model(**z_image_inputs(900)), model(**z_image_inputs(800))
    assert counts(model) == (1, 1)
    model(**z_image_inputs(700, sides=(16, 8)))  # the stream is padded to what it was
    assert counts(model) == (1, 0)


@torch.no_grad()
def test_z_image_of_another_caption_within_a_run_is_refused():
    model = Z_IMAGE.make()
    enable_cache(model, BARE)
    model(**z_image_inputs(900)), model(**z_image_inputs(800))
    again = z_image_inputs(800)
    again["x"] = [x + 1 for x in again["x"]]
    model(**again)  # a second-order step
    assert counts(model) == (1, 2)
    model(**z_image_inputs(700))
    with pytest.raises(ValueError, match="conditions of a call must be those of a branch"):
        model(**z_image_inputs(700, caption=8))


def test_z_image_in_a_pipeline():
    """Its time rises where the scheduler's timesteps descend."""

    class Pipeline:
        transformer = Z_IMAGE.make()

        class scheduler:
            timesteps = torch.tensor(TIMES)

    pipeline = Pipeline()
    with cache(pipeline, config(NoCorrection())):
        for _ in range(2):
            run(Z_IMAGE, pipeline.transformer)
            assert counts(pipeline) == (3, 5)
            pipeline.scheduler.timesteps = torch.tensor(TIMES)


def test_z_image_refuses_several_images_a_sample():
    model = Z_IMAGE.make()
    inputs = Z_IMAGE.inputs(fixed(*Z_IMAGE.noise), 900.0)
    inputs["x"] = [[x] for x in inputs["x"]]
    with (
        cache(model, config(NoCorrection()), timesteps=TIMES),
        pytest.raises(ValueError, match="x must be a list of tensors: .* got a list of list"),
    ):
        model(**inputs)


def test_a_block_that_stands_twice_in_a_model_is_refused():
    model = FLUX2.make()
    model.transformer_blocks[1] = model.transformer_blocks[0]
    with pytest.raises(ValueError, match="'attn' of block 1 must be its own, got .* of block 0"):
        enable_cache(model)
