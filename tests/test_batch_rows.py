"""Rows of a pipeline's batch that belong to one sample: unconditional, conditional, perturbed."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import CogVideoXPipeline, StableDiffusion3PAGPipeline
from diffusers.models.attention_processor import (
    PAGCFGJointAttnProcessor2_0,
    PAGJointAttnProcessor2_0,
)

from clusca_ext import ClusCaConfig, ClusterCorrector, ExplicitSchedule, cache
from clusca_ext.adapters.parts import guided as rows_of
from clusca_ext.cache import Cache
from families_image import sd3
from families_video import COGVIDEOX
from family import fixed
from test_planned_pipelines import guided, make

CONFIG = ClusCaConfig(
    schedule=ExplicitSchedule(steps=(0, 3)), corrector=ClusterCorrector(num_clusters=4)
)
PROCESSORS = PAGCFGJointAttnProcessor2_0(), PAGJointAttnProcessor2_0()
TEXT = guided(12, 32, 32)


def clusters_of(pipe):
    return Cache.of(pipe.transformer).clusters


@pytest.mark.parametrize("scale, names", [(7.0, 3), (0.0, 2)], ids=["guided", "perturbed only"])
def test_perturbed_attention_guidance(scale, names):
    """A sample's picture does not depend on the others of its batch."""
    pipe = make(StableDiffusion3PAGPipeline, sd3(()))
    pipe.set_pag_applied_layers("blocks.1", PROCESSORS)
    noise = fixed(2, 4, 8, 8, seed=3)

    def draw(rows):
        text = {
            name: prompt.repeat(len(rows), *[1] * (prompt.dim() - 1))
            for name, prompt in TEXT.items()
        }
        how = {"num_inference_steps": 6, "guidance_scale": scale, "height": 64, "width": 64}
        images = pipe(**text, **how, latents=rows.clone(), output_type="latent").images
        assert clusters_of(pipe).groups == names
        return images

    with cache(pipe, CONFIG):
        together = draw(noise)
        for sample, row in enumerate(noise):
            torch.testing.assert_close(together[[sample]], draw(row[None]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale, groups", [(6.0, 2), (1.0, 1)])
def test_two_prompts_from_the_same_noise_are_two_samples(scale, groups):
    pipe = make(CogVideoXPipeline, COGVIDEOX)
    prompts = {"prompt_embeds": fixed(2, 7, 16), "negative_prompt_embeds": fixed(2, 7, 16, seed=1)}
    noise = fixed(1, 3, 4, 8, 8, seed=3).repeat(2, 1, 1, 1, 1)
    how = {"num_inference_steps": 4, "height": 64, "width": 64, "num_frames": 9}
    with cache(pipe, CONFIG):
        pipe(**prompts, **how, latents=noise, guidance_scale=scale, output_type="latent")
        assert clusters_of(pipe).groups == groups


@pytest.mark.parametrize("guides", [False, True])
@pytest.mark.parametrize("samples", [1, 2, 3])
def test_perturbed_rows_where_the_pipeline_does_not_say_whether_it_guides(samples, guides):
    """As PixArt-Sigma's."""
    pipeline = SimpleNamespace(do_perturbed_attention_guidance=True)
    latents = torch.randn(samples, 4, 8, 8).repeat(3 if guides else 2, 1, 1, 1)
    expected = ("uncond", "cond", "perturbed") if guides else ("cond", "perturbed")
    assert rows_of(lambda args, kwargs: args[0])(pipeline, (latents,), {}) == expected
