"""Pipelines that share a transformer share its cache, and find in it what they have alone."""

import dataclasses
import gc

import pytest
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxImg2ImgPipeline,
    FluxPipeline,
    StableDiffusion3Pipeline,
)

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    EvenSchedule,
    cache,
    disable_cache,
    enable_cache,
    summary,
)
from clusca_ext.cache import Cache
from families_image import make_flux, sd3
from family import fixed
from flux_pipelines import draw, make_pipeline

CONFIG = ClusCaConfig(schedule=EvenSchedule(interval=3), corrector=ClusterCorrector(num_clusters=8))
STEPS = 8


def two(other, one_scheduler=False):
    transformer, scheduler = make_flux(), FlowMatchEulerDiscreteScheduler()
    second = scheduler if one_scheduler else FlowMatchEulerDiscreteScheduler()
    return (
        make_pipeline(transformer=transformer, scheduler=scheduler),
        make_pipeline(other, transformer=transformer, scheduler=second),
    )


def alone(pipe, steps):
    """Cached, uncached, and the steps of a cached run."""
    with cache(pipe, CONFIG):
        cached, counts = draw(pipe, steps), (summary(pipe).full, summary(pipe).num_steps)
    plain = draw(pipe, steps)
    assert not torch.equal(cached, plain)
    return cached, plain, counts


def drawn(pipe, steps):
    return draw(pipe, steps), (summary(pipe).full, summary(pipe).num_steps)


@pytest.mark.parametrize("one_scheduler", [True, False], ids=["one-scheduler", "two"])
@pytest.mark.parametrize("other", [FluxPipeline, FluxImg2ImgPipeline])
@pytest.mark.parametrize("off", [0, 1])
def test_in_turns(other, one_scheduler, off):
    pipes, steps = two(other, one_scheduler), (STEPS, STEPS + 6)
    state = {name: t.clone() for name, t in pipes[0].transformer.state_dict().items()}
    expected = [alone(pipe, count) for pipe, count in zip(pipes, steps, strict=True)]
    names = set(vars(pipes[0].transformer))  # diffusers leaves a hook there
    for pipe in pipes:
        assert enable_cache(pipe, CONFIG) is pipe
    for who in (0, 1, 1, 0, 0, 1):
        got, counts = drawn(pipes[who], steps[who])
        assert torch.equal(got, expected[who][0])
        assert counts == expected[who][2]
    disable_cache(pipes[off])
    assert Cache.of(pipes[0].transformer) is None
    assert set(vars(pipes[0].transformer)) == names
    for name, tensor in pipes[0].transformer.state_dict().items():
        assert torch.equal(tensor, state[name])
    for pipe, count, (_, plain, _) in zip(pipes, steps, expected, strict=True):
        assert torch.equal(draw(pipe, count), plain)


def test_a_run_begins_where_its_pipeline_begins():
    """With an image some timesteps are left out: full steps are spread over the others."""
    pipe = make_pipeline(FluxImg2ImgPipeline)
    with cache(pipe, CONFIG):
        draw(pipe, 10, strength=0.6)
        assert (summary(pipe).steps, summary(pipe).num_steps) == (6, 6)
        assert Cache.of(pipe.transformer).branch.kinds[-1] == "full"


def test_one_that_breaks_off():
    """Between steps, and before the model was ever called."""
    first, second = two(FluxPipeline)
    expected, other = alone(first, STEPS)[0], alone(second, STEPS + 2)[0]
    enable_cache(first, CONFIG), enable_cache(second, CONFIG)

    def interrupt(pipe, step, timestep, values):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw(first, STEPS, callback_on_step_end=interrupt)
    assert torch.equal(draw(second, STEPS + 2), other)
    first.scheduler.set_timesteps(4, mu=1.0)
    with pytest.raises(RuntimeError, match="one pipeline must begin a run at a time"):
        draw(second, STEPS + 2)
    assert torch.equal(draw(second, STEPS + 2), other)
    assert torch.equal(draw(first, STEPS), expected)


def test_one_goes():
    first, second = two(FluxImg2ImgPipeline)
    expected = alone(second, STEPS)[0]
    enable_cache(first, CONFIG), enable_cache(second, CONFIG)
    draw(first, STEPS)
    del first
    gc.collect()
    assert torch.equal(draw(second, STEPS), expected)


@pytest.mark.parametrize("last", [0, 1])
def test_one_leaves(last):
    """A block takes its own pipeline out; the cache goes with the last."""
    pipes = two(FluxImg2ImgPipeline)
    stays, leaves = pipes[last], pipes[1 - last]
    expected = alone(stays, STEPS)[0]
    if last:  # it joins one that is there
        with cache(leaves, CONFIG):
            draw(leaves, STEPS)
            enable_cache(stays, CONFIG)
    else:
        enable_cache(stays, CONFIG)
        with cache(leaves, CONFIG):
            draw(leaves, STEPS)
    assert Cache.of(stays.transformer) is not None
    assert leaves not in Cache.of(stays.transformer).pipelines
    for _ in range(2):
        assert torch.equal(draw(stays, STEPS), expected)
    enable_cache(leaves, CONFIG)
    disable_cache(stays)


def test_the_last_takes_the_cache_along():
    first, second = two(FluxPipeline)
    with cache(first, CONFIG), cache(second, CONFIG):
        assert Cache.of(first.transformer) is not None
    assert Cache.of(first.transformer) is None


def test_one_that_has_not_joined_is_refused():
    """Its scheduler is not known: no step of it can be told from another."""
    first, second = two(FluxImg2ImgPipeline)
    enable_cache(first, CONFIG)
    for state in ("has begun no run", "has ended its run"):
        with pytest.raises(ValueError, match=f"{state}: call enable_cache, with the same config"):
            draw(second)
        expected = draw(first)
    enable_cache(second, CONFIG)
    draw(second)
    assert torch.equal(draw(first), expected)


@pytest.mark.parametrize("one_scheduler", [True, False], ids=["one-scheduler", "two"])
def test_one_guides_and_the_other_does_not(one_scheduler):
    """How rows pair up is asked of neither: of two rows, both may be samples."""
    transformer, scheduler = sd3(()).make(), FlowMatchEulerDiscreteScheduler()
    second = scheduler if one_scheduler else FlowMatchEulerDiscreteScheduler()
    pipes = [stable_diffusion3(transformer, each) for each in (scheduler, second)]
    rows, guidance, groups = (1, 2), (4.0, 1.0), (2, 1)
    expected = []
    for pipe, prompts, scale in zip(pipes, rows, guidance, strict=True):
        with cache(pipe, CONFIG):
            expected.append(paint(pipe, prompts, scale))
    for pipe in pipes:
        enable_cache(pipe, CONFIG)
    for who in (0, 1, 0, 1, 1):
        assert torch.equal(paint(pipes[who], rows[who], guidance[who]), expected[who])
        assert Cache.of(transformer).clusters.groups == groups[who]


def stable_diffusion3(transformer, scheduler):
    coders = ("vae", "text_encoder", "text_encoder_2", "text_encoder_3")
    parts = (*coders, "tokenizer", "tokenizer_2", "tokenizer_3")
    pipe = StableDiffusion3Pipeline(
        transformer=transformer, scheduler=scheduler, **dict.fromkeys(parts)
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def paint(pipe, prompts, guidance):
    return pipe(
        prompt_embeds=fixed(prompts, 12, 32, seed=1),
        pooled_prompt_embeds=fixed(prompts, 32, seed=2),
        negative_prompt_embeds=fixed(prompts, 12, 32, seed=3),
        negative_pooled_prompt_embeds=fixed(prompts, 32, seed=4),
        guidance_scale=guidance,
        num_inference_steps=STEPS,
        height=128,
        width=128,
        output_type="latent",
        generator=torch.Generator().manual_seed(0),
    ).images


def test_what_cannot_be_shared():
    first, second = two(FluxPipeline)
    enable_cache(first, CONFIG)
    another = "another pipeline's: give the same config and no other arguments"
    with pytest.raises(ValueError, match=another):
        enable_cache(second, dataclasses.replace(CONFIG, seed=1))
    with pytest.raises(ValueError, match=another):
        enable_cache(second, CONFIG, seeds=[1])
    with pytest.raises(ValueError, match=another):
        enable_cache(second, CONFIG, process_group=object())
    for model in (first, first.transformer):
        with pytest.raises(ValueError, match="has a cache already: call disable_cache first"):
            enable_cache(model, CONFIG)
    disable_cache(first)
    enable_cache(first.transformer, CONFIG)
    with pytest.raises(ValueError, match="has a cache already: call disable_cache first"):
        enable_cache(second, CONFIG)
