"""The batch of a pipeline's run changes before its end: the run goes on, with nothing cached."""

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline

from bare_runs import BARE, call, kinds
from clusca_ext import ClusCaConfig, ExplicitSchedule, cache, enable_cache, summary
from clusca_ext.cache import Cache
from families_image import Z_IMAGE, sd3
from family import fixed
from test_shared_transformer import stable_diffusion3

STEPS = 8
CONFIG = ClusCaConfig(schedule=ExplicitSchedule(steps=(0, 3, 7)))
ALONE = ["full", "cached", "cached", "full", "cached", "cached", "cached", "full"]


def z_image():
    pipe = ZImagePipeline(
        transformer=Z_IMAGE.make(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        **dict.fromkeys(("vae", "text_encoder", "tokenizer")),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw_z(pipe, truncation):
    return pipe(
        prompt_embeds=[fixed(32, 16)],
        negative_prompt_embeds=[fixed(32, 16, seed=3)],
        guidance_scale=3.0,
        cfg_truncation=truncation,
        num_inference_steps=STEPS,
        height=64,
        width=64,
        output_type="latent",
        generator=torch.Generator().manual_seed(0),
    ).images


def paint(pipe, until):
    """Guidance ends after a step, as users' callbacks end it."""

    def callback(pipe, step, timestep, values):
        if step == until:
            pipe._guidance_scale = 1.0
            values = {name: tensor.chunk(2)[1] for name, tensor in values.items()}
        return values

    return pipe(
        prompt_embeds=fixed(1, 12, 32, seed=1),
        pooled_prompt_embeds=fixed(1, 32, seed=2),
        negative_prompt_embeds=fixed(1, 12, 32, seed=3),
        negative_pooled_prompt_embeds=fixed(1, 32, seed=4),
        num_inference_steps=STEPS,
        height=128,
        width=128,
        output_type="latent",
        generator=torch.Generator().manual_seed(0),
        callback_on_step_end=callback,
        callback_on_step_end_tensor_inputs=["prompt_embeds", "pooled_prompt_embeds"],
    ).images


@pytest.mark.parametrize("name", ["z-image", "sd3"])
def test_the_run_goes_on_at_its_step(name):
    if name == "z-image":
        pipe, draw, until = z_image(), draw_z, 0.5
    else:
        pipe = stable_diffusion3(sd3(()).make(), FlowMatchEulerDiscreteScheduler())
        draw, until = paint, 3
    batches = []
    pipe.transformer.register_forward_pre_hook(
        lambda model, args, kwargs: batches.append(len((args or list(kwargs.values()))[0])),
        with_kwargs=True,
    )
    draw(pipe, until)
    shrinks = batches.index(1)
    assert 3 < shrinks < STEPS - 1 and set(batches[shrinks:]) == {1}
    expected = [*ALONE[:shrinks], "full", *ALONE[shrinks + 1 :]]
    with cache(pipe, CONFIG):
        for _ in range(2):
            assert draw(pipe, until).isfinite().all()
            assert Cache.of(pipe.transformer).branch.kinds == expected
            assert (summary(pipe).steps, summary(pipe).num_steps) == (STEPS, STEPS)
    every = ClusCaConfig(schedule=ExplicitSchedule(steps=range(STEPS)))
    plain = draw(pipe, until)
    with cache(pipe, every):
        assert torch.equal(draw(pipe, until), plain)


@pytest.mark.parametrize("given", ["known", "unknown"])
def test_a_bare_models_run(model, given):
    times = [900, 700, 500, 300, 100]
    enable_cache(model, BARE, timesteps=times if given == "known" else None)
    call(model, 900), call(model, 700), call(model, 500, batch=1)
    goes_on = given == "known"
    assert summary(model).steps == (3 if goes_on else 1)
    call(model, 300, batch=1), call(model, 100, batch=1)
    assert (summary(model).full, summary(model).cached) == ((3, 2) if goes_on else (1, 2))
    call(model, 900), call(model, 700)
    assert (summary(model).full, summary(model).cached) == (1, 1)
    assert kinds(model, times, batch=3) == "fccfc"  # the run before was broken off
