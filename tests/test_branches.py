"""Guidance by separate calls: every branch has features of its own, clusters are the sample's."""

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, WanPipeline

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    ExplicitSchedule,
    NoCorrection,
    cache,
    disable_cache,
    enable_cache,
    reset,
    summary,
)
from clusca_ext.cache import Cache
from families_image import FLUX, make_flux
from families_video import wan
from family import fixed
from small_dit import make_dit

STEPS = 6
CONFIG = ClusCaConfig(
    schedule=ExplicitSchedule(steps=(0, 2)), corrector=ClusterCorrector(num_clusters=8)
)
WAN = wan(False)


def wan_pipeline(two=False):
    scheduler = FlowMatchEulerDiscreteScheduler()
    pipe = WanPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=None,
        scheduler=scheduler,
        transformer=WAN.make(),
        transformer_2=WAN.make() if two else None,
        boundary_ratio=0.6 if two else None,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(pipe, guidance=3.0, steps=STEPS, callback=None):
    return pipe(
        prompt_embeds=fixed(1, 12, 16, seed=1),
        negative_prompt_embeds=fixed(1, 12, 16, seed=2),
        guidance_scale=guidance,
        num_inference_steps=steps,
        height=64,
        width=64,
        num_frames=9,
        max_sequence_length=12,
        output_type="latent",
        generator=torch.Generator().manual_seed(0),
        callback_on_step_end=callback,
    ).frames


def test_a_pipeline_that_calls_twice_a_step():
    pipe = wan_pipeline()
    expected = draw(pipe)
    with cache(pipe, CONFIG):
        first = draw(pipe)
        done = summary(pipe)
        assert (done.branches, done.steps, done.full, done.cached) == (2, STEPS, 2, 4)
        held = Cache.of(pipe.transformer)
        assert list(held.branches) == ["cond", "uncond"]
        assert all(branch.kinds == held.leader.kinds for branch in held.branches.values())
        assert torch.equal(draw(pipe), first)
    assert torch.equal(draw(pipe), expected)
    assert not torch.equal(first, expected)


def test_branches_do_not_touch_each_other():
    """Forecasts of a branch are those it has when it is cached alone."""
    model, config = WAN.make(), ClusCaConfig(schedule=CONFIG.schedule, corrector=NoCorrection())
    times = [900.0, 800.0, 700.0, 600.0]

    @torch.no_grad()
    def run(names):
        out = {name: [] for name in names}
        for step, timestep in enumerate(times):
            noise = torch.randn(WAN.noise, generator=torch.Generator().manual_seed(step))
            for name in names:
                inputs = WAN.inputs(noise, timestep)
                inputs["encoder_hidden_states"] = fixed(2, 12, 16, seed=len(name))
                with model.cache_context(name):
                    out[name].append(model(**inputs, return_dict=False)[0])
        return out

    alone = {}
    for name in ("cond", "uncond"):
        with cache(model, config):
            alone |= run([name])
    with cache(model, config):
        both = run(["cond", "uncond"])
    for name in alone:
        for a, b in zip(both[name], alone[name], strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("share", [True, False])
def test_whose_clusters(share):
    pipe = wan_pipeline()
    corrector = ClusterCorrector(num_clusters=8, share_cfg=share)
    with cache(pipe, ClusCaConfig(schedule=CONFIG.schedule, corrector=corrector)):
        draw(pipe)
        held = Cache.of(pipe.transformer)
        fitted = [len(branch.clusters.iterations) for branch in held.branches.values()]
        assert fitted == ([2, 0] if share else [2, 2])
        assert held.clusters is held.branches["cond" if share else "uncond"].clusters


def test_guidance_switched_off_and_on():
    pipe = wan_pipeline()
    with cache(pipe, CONFIG):
        guided = draw(pipe)
        alone = draw(pipe, guidance=1.0)
        assert summary(pipe).steps == STEPS
        assert torch.equal(draw(pipe), guided)
        reset(pipe)
        assert torch.equal(draw(pipe, guidance=1.0), alone)
        assert summary(pipe).branches == 1


def test_a_run_that_is_broken_off():
    pipe = wan_pipeline()
    with cache(pipe, CONFIG):
        expected = draw(pipe)

        def broken(pipe, step, timestep, values):
            if step == 3:
                raise KeyboardInterrupt
            return values

        with pytest.raises(KeyboardInterrupt):
            draw(pipe, callback=broken)
        assert torch.equal(draw(pipe), expected)


def test_interrupted_pipelines_begin_anew():
    pipe = wan_pipeline()
    with cache(pipe, CONFIG):
        expected = draw(pipe)

        def interrupt(pipe, step, timestep, values):
            pipe._interrupt = step == 3
            return values

        draw(pipe, callback=interrupt)
        assert torch.equal(draw(pipe), expected)
        assert summary(pipe).steps == STEPS


def test_without_a_context_the_scheduler_tells_the_calls_apart():
    """FLUX with true guidance, as pipelines without cache contexts call it."""
    pipe = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=None,
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=None,
        tokenizer_2=None,
        transformer=make_flux(),
    )
    pipe.set_progress_bar_config(disable=True)

    def flux(**inputs):
        return pipe(
            prompt_embeds=fixed(1, 12, 32, seed=1),
            pooled_prompt_embeds=fixed(1, 32, seed=2),
            num_inference_steps=STEPS,
            height=128,
            width=128,
            output_type="latent",
            generator=torch.Generator().manual_seed(0),
            **inputs,
        ).images

    guided = {
        "negative_prompt_embeds": fixed(1, 12, 32, seed=3),
        "negative_pooled_prompt_embeds": fixed(1, 32, seed=4),
        "true_cfg_scale": 2.0,
    }
    with cache(pipe, CONFIG):
        named = flux(**guided)
        assert list(Cache.of(pipe.transformer).branches) == ["cond", "uncond"]
    with cache(pipe, CONFIG):
        Cache.of(pipe.transformer)._caller.remove()  # the pipeline's contexts go unseen
        assert torch.equal(flux(**guided), named)
        assert list(Cache.of(pipe.transformer).branches) == ["call 1", "call 2"]
    with cache(pipe, CONFIG):
        flux()
        assert summary(pipe).branches == 1
        assert summary(pipe).tokens == FLUX.tokens


def test_two_experts_of_one_pipeline():
    """Wan 2.2: noisy steps by one transformer, the others by a second one."""
    pipe = wan_pipeline(two=True)
    first, second = pipe.transformer, pipe.transformer_2
    counted = []
    for expert in (first, second):
        expert.register_forward_pre_hook(lambda *args: counted.append(args[0]))
    expected = draw(pipe, steps=10)
    counts = [counted.count(expert) // 2 for expert in (first, second)]
    assert sum(counts) == 10 and min(counts) > 2
    assert enable_cache(pipe, CONFIG) is pipe
    got = draw(pipe, steps=10)
    assert not torch.equal(got, expected)
    parts = [summary(first), summary(second)]
    assert [part.num_steps for part in parts] == counts
    assert [part.full for part in parts] == [2, 2]
    both = summary(pipe)
    assert (both.steps, both.full, both.cached, both.num_steps) == (10, 4, 6, 10)
    assert both.cache_bytes == sum(part.cache_bytes for part in parts)
    assert "10 of 10" in str(both)
    assert torch.equal(draw(pipe, steps=10), got)
    reset(pipe)
    assert torch.equal(draw(pipe, steps=10), got)
    with pytest.raises(ValueError, match="has a cache already"):
        enable_cache(pipe, CONFIG)
    disable_cache(pipe)
    assert torch.equal(draw(pipe, steps=10), expected)
    with pytest.raises(ValueError, match="has no cache"):
        summary(pipe)


def test_a_model_without_contexts_has_them_while_it_is_cached():
    model = make_dit()
    assert not hasattr(model, "cache_context")
    rows = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with cache(model, CONFIG), torch.no_grad():
        for timestep in (900, 800, 700):
            for name, label in (("cond", 1), ("uncond", 10)):
                with model.cache_context(name):
                    model(
                        rows,
                        timestep=torch.full((2,), timestep),
                        class_labels=torch.full((2,), label),
                    )
        assert (summary(model).branches, summary(model).steps) == (2, 3)
    assert not hasattr(model, "cache_context")
