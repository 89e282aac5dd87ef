"""Skip-layer guidance: calls without some of the blocks run beside a cached run, as they are."""

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from clusca_ext import ClusCaConfig, EvenSchedule, IntervalSchedule, cache, summary
from clusca_ext.cache import Cache
from families_image import sd3
from family import fixed
from test_shared_transformer import stable_diffusion3

STEPS = 10


def paint(pipe, layers):
    return pipe(
        prompt_embeds=fixed(1, 12, 32, seed=1),
        pooled_prompt_embeds=fixed(1, 32, seed=2),
        negative_prompt_embeds=fixed(1, 12, 32, seed=3),
        negative_pooled_prompt_embeds=fixed(1, 32, seed=4),
        num_inference_steps=STEPS,
        skip_guidance_layers=layers,
        skip_layer_guidance_start=0.1,
        skip_layer_guidance_stop=0.7,
        height=128,
        width=128,
        output_type="latent",
        generator=torch.Generator().manual_seed(0),
    ).images


@pytest.mark.parametrize("layers", [[0], [1], [0, 1]])
def test_skipped_layers(layers):
    pipe = stable_diffusion3(sd3(()).make(), FlowMatchEulerDiscreteScheduler())
    plain = paint(pipe, layers)
    assert not torch.equal(plain, paint(pipe, None))
    with cache(pipe, ClusCaConfig(schedule=IntervalSchedule(interval=1))):
        assert torch.equal(paint(pipe, layers), plain)
    with cache(pipe, ClusCaConfig(schedule=EvenSchedule(interval=3))):
        first = paint(pipe, layers)
        assert first.isfinite().all() and not torch.equal(first, plain)
        done = summary(pipe)
        assert (done.branches, done.steps, done.num_steps) == (1, STEPS, STEPS)
        assert torch.equal(paint(pipe, layers), first)
        assert Cache.of(pipe.transformer).branch.kinds[-1] == "full"
    assert torch.equal(paint(pipe, layers), plain)


def test_the_diffusers_way():
    """A call of a bare model without some blocks is no branch of guidance."""
    pipe = stable_diffusion3(sd3(()).make(), FlowMatchEulerDiscreteScheduler())
    with cache(pipe.transformer, ClusCaConfig(schedule=IntervalSchedule(interval=3, warmup=1))):
        assert paint(pipe, [0]).isfinite().all()
        assert (summary(pipe).branches, summary(pipe).steps) == (1, STEPS)
