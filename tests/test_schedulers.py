"""Schedulers of first and second order: a step is a call of the model, whatever the scheduler."""

import dataclasses

import diffusers
import pytest
import torch

from clusca_ext import ClusCaConfig, IntervalSchedule, cache, summary
from test_branches import draw, wan_pipeline

STEPS = 8
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
SCHEDULERS = {
    "FlowMatchEulerDiscreteScheduler": {},
    "FlowMatchHeunDiscreteScheduler": {},
    "UniPCMultistepScheduler": FLOW,
    "DPMSolverMultistepScheduler": FLOW,
    "DPMSolverSinglestepScheduler": FLOW,
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_every_call_is_a_step(name, guidance):
    pipe = wan_pipeline()
    pipe.scheduler = getattr(diffusers, name)(**SCHEDULERS[name])
    calls = []
    handle = pipe.transformer.register_forward_hook(lambda *_: calls.append(1))
    expected = draw(pipe, guidance=guidance, steps=STEPS)
    count = len(calls) // (2 if guidance > 1 else 1)
    handle.remove()
    every = ClusCaConfig(schedule=IntervalSchedule(interval=1))
    with cache(pipe, every):
        assert torch.equal(draw(pipe, guidance=guidance, steps=STEPS), expected)
        assert (summary(pipe).full, summary(pipe).num_steps) == (count, count)
    thrice = dataclasses.replace(every, schedule=IntervalSchedule(interval=3, warmup=1))
    with cache(pipe, thrice):
        first = draw(pipe, guidance=guidance, steps=STEPS)
        assert summary(pipe).full == len(range(0, count, 3))
        assert summary(pipe).cached == count - summary(pipe).full
        assert torch.equal(draw(pipe, guidance=guidance, steps=STEPS), first)
        assert draw(pipe, guidance=guidance, steps=1).isfinite().all()
        assert torch.equal(draw(pipe, guidance=guidance, steps=STEPS), first)


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "HeunDiscreteScheduler"])
def test_schedulers_of_noise(name):
    """PixArt's pipelines take them: rows of guidance come in one batch."""
    from families_image import PIXART

    pipe = diffusers.PixArtAlphaPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=diffusers.AutoencoderKL(block_out_channels=(4,), norm_num_groups=2),
        transformer=PIXART.make(),
        scheduler=getattr(diffusers, name)(),
    )
    pipe.set_progress_bar_config(disable=True)
    ones = torch.ones(1, 12, dtype=torch.long)

    def paint():
        return pipe(
            prompt_embeds=torch.randn(1, 12, 32, generator=torch.Generator().manual_seed(1)),
            prompt_attention_mask=ones,
            negative_prompt=None,
            negative_prompt_embeds=torch.randn(
                1, 12, 32, generator=torch.Generator().manual_seed(2)
            ),
            negative_prompt_attention_mask=ones,
            num_inference_steps=STEPS,
            height=16,
            width=16,
            use_resolution_binning=False,
            output_type="latent",
            generator=torch.Generator().manual_seed(0),
        ).images

    expected = paint()
    with cache(pipe, ClusCaConfig(schedule=IntervalSchedule(interval=1))):
        assert torch.equal(paint(), expected)
    with cache(pipe, ClusCaConfig(schedule=IntervalSchedule(interval=3, warmup=1))):
        first = paint()
        assert summary(pipe).cached and summary(pipe).branches == 1
        assert pipe.transformer._clusca_cache.clusters.groups == 2
        assert torch.equal(paint(), first)
    assert torch.equal(paint(), expected)
