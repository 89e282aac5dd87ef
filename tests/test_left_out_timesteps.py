"""Pipelines that leave the first timesteps out without telling their scheduler."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import (
    CogVideoXDDIMScheduler,
    CogVideoXVideoToVideoPipeline,
    FlowMatchEulerDiscreteScheduler,
    LTXConditionPipeline,
    UniPCMultistepScheduler,
    WanVideoToVideoPipeline,
)

from bare_runs import BARE
from clusca_ext import ClusCaConfig, EvenSchedule, NoCorrection, enable_cache, summary
from clusca_ext.cache import Cache
from families_video import COGVIDEOX, ltx, wan
from family import fixed
from test_pipeline import draw, make_pipeline
from test_runs import rows_of

CONFIG = ClusCaConfig(schedule=EvenSchedule(interval=3, warmup=1), corrector=NoCorrection())
PROMPTS = {"prompt_embeds": fixed(1, 12, 16), "negative_prompt_embeds": -fixed(1, 12, 16)}
SHORT = {name: prompt[:, :7] for name, prompt in PROMPTS.items()}
MASKS = {
    name: torch.ones(1, 12, dtype=torch.long)
    for name in ("prompt_attention_mask", "negative_prompt_attention_mask")
}
SIZE = {"height": 64, "width": 64}
PARTS = dict.fromkeys(("tokenizer", "text_encoder", "vae"))
CASES = {
    "cogvideox": (
        CogVideoXVideoToVideoPipeline,
        COGVIDEOX,
        CogVideoXDDIMScheduler,
        SHORT | SIZE | {"latents": fixed(1, 3, 4, 8, 8), "strength": 0.6},
    ),
    "wan": (
        WanVideoToVideoPipeline,
        wan(False),
        UniPCMultistepScheduler,
        PROMPTS | SIZE | {"latents": fixed(1, 4, 3, 8, 8), "strength": 0.6},
    ),
    "ltx": (
        LTXConditionPipeline,
        ltx(per_token=False),
        FlowMatchEulerDiscreteScheduler,
        PROMPTS | MASKS | {"height": 128, "width": 128, "num_frames": 17, "denoise_strength": 0.6},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_run_is_as_long_as_it_is_called(name):
    kind, family, scheduler, inputs = CASES[name]
    pipe = kind(transformer=family.make(), scheduler=scheduler(), **PARTS)
    if name == "ltx":
        pipe.vae = SimpleNamespace(dtype=torch.float32)  # nothing is encoded
    pipe.set_progress_bar_config(disable=True)
    enable_cache(pipe, CONFIG)

    def draw(steps, **more):
        generator = torch.Generator().manual_seed(0)
        pipe(
            **(inputs | more),
            num_inference_steps=steps,
            output_type="latent",
            generator=generator,
        )
        done = summary(pipe)
        assert Cache.of(pipe.transformer).branch.kinds[-1] == "full"
        return done.steps, done.num_steps

    assert draw(10) == (6, 6)
    assert draw(20) == (12, 12)
    whole = "denoise_strength" if name == "ltx" else "strength"
    assert draw(10, **{whole: 1.0}) == (10, 10)


def test_a_count_of_a_run_before_is_not_taken():
    """Somebody else loops over more timesteps than the pipeline did last."""
    pipe = make_pipeline()
    enable_cache(pipe, BARE)
    draw(pipe, steps=3)
    pipe.num_timesteps = 3
    pipe.scheduler.set_timesteps(8)
    for timestep in pipe.scheduler.timesteps.tolist():
        rows_of(pipe.transformer, timestep, [1, 2])
    assert (summary(pipe).steps, summary(pipe).num_steps) == (8, 8)
