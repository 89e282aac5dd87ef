"""A diffusers pipeline in one line: runs, guidance and length are taken from it."""

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline

from clusca_ext import disable_cache, enable_cache, summary
from clusca_ext.enable import cache_of
from small_dit import make_dit


def make_pipeline(device="cpu"):
    torch.manual_seed(0)
    vae = AutoencoderKL(
        in_channels=1,
        out_channels=1,
        latent_channels=1,
        block_out_channels=(4,),
        norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
    )
    transformer = make_dit(num_embeds_ada_norm=1000)
    pipe = DiTPipeline(transformer=transformer, vae=vae, scheduler=DDIMScheduler())
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def draw(pipe, labels=(1, 2), steps=8, guidance=4.0):
    generators = [torch.Generator().manual_seed(i) for i in range(len(labels))]
    return torch.from_numpy(
        pipe(
            class_labels=list(labels),
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generators,
            output_type="np",
        ).images
    )


def test_a_pipeline_in_one_line(device):
    pipe = make_pipeline(device)
    untouched = draw(pipe)
    assert enable_cache(pipe) is pipe
    first = draw(pipe)
    done = summary(pipe)
    assert (done.full, done.cached, done.num_steps) == (4, 4, 8)
    assert "scheduler" in done.run_known_by
    assert torch.equal(draw(pipe), first)
    assert draw(pipe, steps=3).isfinite().all()
    assert summary(pipe).num_steps == 3
    assert torch.equal(draw(pipe), first)
    assert draw(pipe, labels=(4,)).isfinite().all()
    assert draw(pipe, guidance=1.0).isfinite().all()
    disable_cache(pipe)
    assert torch.equal(draw(pipe), untouched)


def test_a_pipelines_guided_rows_are_paired(device):
    """Clusters belong to samples where guidance doubles the rows, to rows where it does not."""
    pipe = make_pipeline(device)
    enable_cache(pipe)
    draw(pipe)
    assert cache_of(pipe).clusters.groups == 2
    assert len(cache_of(pipe).clusters.cluster_ids) == 2
    draw(pipe, guidance=1.0)
    assert cache_of(pipe).clusters.groups == 1


def test_an_exception_inside_a_pipeline(device):
    pipe = make_pipeline(device)
    enable_cache(pipe)
    expected = draw(pipe)
    step = pipe.scheduler.step
    calls = []

    def fail(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return step(*args, **kwargs)

    pipe.scheduler.step = fail
    with pytest.raises(KeyboardInterrupt):
        draw(pipe)
    pipe.scheduler.step = step
    assert torch.equal(draw(pipe), expected)


def test_a_pipelines_own_timesteps_are_used(device):
    with pytest.raises(ValueError, match="timesteps are a pipeline's own"):
        enable_cache(make_pipeline(device), timesteps=[3, 2, 1])
