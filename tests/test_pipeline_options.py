"""What callers of a pipeline vary: the number of steps and of images, and how the VAE decodes."""

import dataclasses

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FluxImg2ImgPipeline,
    FluxPipeline,
    PixArtAlphaPipeline,
)

import flux_pipelines
from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    IntervalSchedule,
    NoCorrection,
    cache,
    summary,
)
from clusca_ext.cache import Cache
from families_image import PIXART
from family import fixed

CONFIG = ClusCaConfig(corrector=ClusterCorrector(num_clusters=8))
INTERVAL = dataclasses.replace(CONFIG, schedule=IntervalSchedule(interval=3, warmup=2))


def pixart(scheduler):
    pipe = PixArtAlphaPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=AutoencoderKL(block_out_channels=(4,), norm_num_groups=2),
        transformer=PIXART.make(),
        scheduler=scheduler,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def paint(pipe, images=1, seeds=None, guidance=4.5, steps=8):
    ones = torch.ones(1, 12, dtype=torch.long)
    return pipe(
        prompt_embeds=fixed(1, 12, 32, seed=1),
        prompt_attention_mask=ones,
        negative_prompt=None,
        negative_prompt_embeds=fixed(1, 12, 32, seed=2),
        negative_prompt_attention_mask=ones,
        num_images_per_prompt=images,
        guidance_scale=guidance,
        num_inference_steps=steps,
        height=16,
        width=16,
        use_resolution_binning=False,
        output_type="latent",
        generator=[torch.Generator().manual_seed(seed) for seed in seeds or range(images)],
    ).images


@pytest.mark.parametrize("config", [CONFIG, INTERVAL], ids=["even", "interval"])
@pytest.mark.parametrize("kind", ["flux", "ddim", "dpm"])
def test_any_number_of_steps(kind, config):
    """From one up, changed from call to call: each as if the cache were new."""
    if kind == "flux":
        pipe, call = flux_pipelines.make_pipeline(), flux_pipelines.draw
    else:
        pipe = pixart(DDIMScheduler() if kind == "ddim" else DPMSolverMultistepScheduler())
        call = paint
    fewest = 2 if kind == "dpm" else 1  # of diffusers' own pipeline
    fresh = {}
    for steps in range(fewest, 8):
        with cache(pipe, config):
            fresh[steps] = call(pipe, steps=steps)
            assert (summary(pipe).steps, summary(pipe).num_steps) == (steps, steps)
    assert torch.equal(fresh[fewest], call(pipe, steps=fewest)) or fewest > 1
    assert not torch.equal(fresh[7], call(pipe, steps=7))
    with cache(pipe, config):
        for steps in (*fresh, fewest, 7, 3, 2, 6, fewest, 5):
            assert torch.equal(call(pipe, steps=steps), fresh[steps])
            assert summary(pipe).steps == steps


@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.parametrize("cls", [FluxPipeline, FluxImg2ImgPipeline])
def test_interruption(cls, at):
    """The steps that are left are not done; the next call begins anew."""
    pipe = flux_pipelines.make_pipeline(cls)

    def interrupt(pipe, step, timestep, values):
        pipe._interrupt = step == at
        return values

    with cache(pipe, CONFIG):
        expected = flux_pipelines.draw(pipe, steps=8)
        for steps in (8, 11):
            broken = flux_pipelines.draw(pipe, steps=steps, callback_on_step_end=interrupt)
            assert summary(pipe).steps == at + 1 and broken.isfinite().all()
            assert torch.equal(flux_pipelines.draw(pipe, steps=8), expected)


@pytest.mark.parametrize("guidance", [1.0, 4.5])
@pytest.mark.parametrize("corrector", [CONFIG.corrector, NoCorrection()], ids=["clusters", "none"])
def test_several_images_per_prompt(guidance, corrector):
    """A sample depends on its batch by no more than it does without a cache: by rounding."""
    pipe = pixart(DDIMScheduler())

    def difference():
        several = paint(pipe, images=2, guidance=guidance)
        single = [paint(pipe, seeds=[seed], guidance=guidance) for seed in range(2)]
        assert not torch.equal(*several)
        return several, (several - torch.cat(single)).abs().max()

    plain, without = difference()
    with cache(pipe, dataclasses.replace(CONFIG, corrector=corrector)):
        got, difference_cached = difference()
        assert summary(pipe).cached
        paint(pipe, images=2, guidance=guidance)
        clusters = Cache.of(pipe.transformer).clusters
        if clusters is not None:
            assert (clusters.groups, len(clusters.cluster_ids)) == (1 + (guidance > 1), 2)
    assert not torch.equal(got, plain)
    assert difference_cached <= max(4 * without, 1e-5 * plain.abs().max())


@pytest.mark.parametrize("cls", [FluxPipeline, FluxImg2ImgPipeline])
def test_vae_tiling(cls):
    """The cache ends where the latents are: decoding and encoding in tiles go on as they were."""
    pipe = flux_pipelines.make_pipeline(cls, vae=flux_pipelines.make_vae(sample_size=32))

    def decoded(latents):
        size = flux_pipelines.SIZE
        latents = pipe._unpack_latents(latents, size, size, pipe.vae_scale_factor)
        with torch.no_grad():
            image = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
        return pipe.image_processor.postprocess(image, output_type="pt")

    pipe.vae.enable_tiling()
    with cache(pipe, CONFIG):
        latents = flux_pipelines.draw(pipe)
        tiled = flux_pipelines.draw(pipe, output_type="pt")
        assert summary(pipe).cached
        assert torch.equal(tiled, decoded(latents))
        pipe.vae.disable_tiling()
        if cls is FluxPipeline:
            assert torch.equal(flux_pipelines.draw(pipe, output_type="pt"), decoded(latents))
        assert not torch.equal(tiled, decoded(latents))  # there were several tiles
        pipe.vae.enable_tiling()
        assert torch.equal(flux_pipelines.draw(pipe, output_type="pt"), tiled)
