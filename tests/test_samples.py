"""Calls that are made sample by sample: what their schedules are shown, and what is left over."""

import inspect

import pytest
import torch
from diffusers.models.transformers.transformer_flux import FluxIPAdapterAttnProcessor

from clusca_ext import (
    AdaCacheSchedule,
    ClusCaConfig,
    FirstBlockSchedule,
    NoCorrection,
    ReuseForecaster,
    SpeCaSchedule,
    TeaCacheSchedule,
    cache,
    reset,
    summary,
)
from clusca_ext.enable import cache_of
from clusca_ext.schedule import Step
from families_image import FLUX, QWEN, sd3
from families_video import VIDEOS
from family import fixed
from small_dit import options, sample
from test_control import with_inputs
from test_families import run

TIMES = [0.95, 0.85, 0.75, 0.65, 0.55]
SPECA = SpeCaSchedule(threshold=1e9, floor=1e9, min_skips=1, max_skips=3, warmup=1)
CONFIG = ClusCaConfig(schedule=SPECA, forecaster=ReuseForecaster(), corrector=NoCorrection())


class Told(SpeCaSchedule):
    """Keeps what it is shown."""

    def start(self, num_steps):
        decide = super().start(num_steps)
        see = decide.see

        def told(step, change):
            shown.append(change)
            return see(step, change)

        decide.see = told
        return decide


shown = []
HUNYUAN = next(each for each in VIDEOS if str(each) == "HunyuanVideoTransformer3DModel")


@pytest.mark.parametrize("family", [FLUX, QWEN, sd3(()), HUNYUAN], ids=str)
def test_a_verified_block_is_given_its_own_samples_text(family):
    """That of the sample's last full step, whichever way the model hands it to its blocks."""
    model = family.make()
    schedule = Told(threshold=1e9, floor=1e9, min_skips=1, max_skips=3, warmup=1)
    config = ClusCaConfig(schedule=schedule, forecaster=ReuseForecaster(), corrector=NoCorrection())
    shown.clear()
    with cache(model, config, timesteps=TIMES):
        here = cache_of(model)
        last, text, expected = here.description.blocks[-1], {}, []
        own = here.blocks[-1].original
        names = inspect.signature(own)

        def check(block, args, kwargs, output):
            given, branch = names.bind(*args, **kwargs), here.branch
            if branch.kinds[-1] == "full":
                text[branch.sample] = given.arguments["encoder_hidden_states"]
                return
            given.arguments["encoder_hidden_states"] = text[branch.sample]
            computed = last.returned(own(*given.args, **given.kwargs))
            error = (last.returned(output) - computed).abs() / (computed.abs() + 1e-10)
            expected.append(error.mean().item())

        last.block.register_forward_hook(check, with_kwargs=True)
        run(family, model, times=TIMES)
    assert set(text) == {0, 1} and not torch.equal(*text.values())
    assert len(shown) == 6
    assert shown == pytest.approx(expected[:6], rel=1e-5)


@pytest.mark.parametrize("breaks", [False, True])
def test_a_summary_after_a_run_that_was_broken_off(model, breaks):
    def fail(*_):
        raise KeyError("broken off")

    with cache(model, ClusCaConfig(schedule=TeaCacheSchedule(threshold=0.04)), **options()):
        sample(model, samples=3)
        if breaks:
            handle = model.transformer_blocks[1].register_forward_pre_hook(fail)
            with pytest.raises(KeyError, match="broken off"):
                sample(model, samples=3)
            handle.remove()
        else:
            reset(model)
        assert summary(model).full_by_sample == ()
        assert "full" in str(summary(model))
        sample(model, samples=3)
        assert len(summary(model).full_by_sample) == 3


@pytest.mark.parametrize(
    "schedule",
    [
        TeaCacheSchedule(threshold=0.04),
        FirstBlockSchedule(threshold=0.2),
        AdaCacheSchedule(codebook=((1.0, 2),)),
        SPECA,
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_what_was_looked_at_is_given_back(model, schedule):
    """Between steps nothing of the model's inputs is held, and after a reset nothing at all."""
    with cache(model, ClusCaConfig(schedule=schedule), **options()):
        sample(model, samples=2)
        here = cache_of(model)
        probe = here._fitting.probe
        assert not {"_step", "_settle", "_seen", "_decide"} & set(vars(probe))
        branches = here._branches.every
        assert any(each.seen.before is not None for each in branches) or schedule is SPECA
        reset(model)
        assert all(each.seen.before is None for each in branches)
        assert all(each.seen.other is None for each in branches)


def test_all_samples_are_timed(model):
    """Not those of the last one alone."""
    with cache(model, CONFIG, **options()):
        sample(model, samples=3)
        assert sum(map(len, cache_of(model).times.seconds().values())) == 3 * 12


def test_adacache_forgets_an_interval_with_what_it_was_made_of():
    """Where the features are gone in the middle of a run, the change that follows is not known."""
    decide = AdaCacheSchedule(codebook=((0.1, 5),), warmup=2).start(20)
    assert decide(Step(0, 20, None)) and decide(Step(1, 20, 0))
    decide.see(Step(1, 20, 1), 0.05)
    assert not decide(Step(2, 20, 1))
    assert decide(Step(3, 20, None)), "an input has another shape"
    assert decide(Step(4, 20, 3))


@pytest.mark.parametrize(
    ("family", "name"),
    [(sd3(()), "block_controlnet_hidden_states"), (FLUX, "controlnet_block_samples")],
    ids=str,
)
def test_a_list_of_blocks_is_not_one_of_samples(family, name):
    """ControlNet's residuals, where there are as many of them as samples."""
    model = family.make()
    residuals = [torch.randn(2, 64, model.inner_dim) * 0.1 for _ in range(2)]

    @torch.no_grad()
    def outputs():
        noise = torch.randn(family.noise, generator=torch.Generator().manual_seed(0))
        inputs = [{**family.inputs(noise, time), name: residuals} for time in TIMES]
        return torch.stack([model(**each, return_dict=False)[0] for each in inputs])

    expected = outputs()
    with cache(model, ClusCaConfig(schedule=TeaCacheSchedule(threshold=-1)), timesteps=TIMES):
        torch.testing.assert_close(outputs(), expected, rtol=1e-4, atol=1e-5)
        assert len(summary(model).full_by_sample) == 2


def test_two_ip_adapters_are_not_two_samples():
    """What each was made of is a list, of as many batches as there are adapters."""
    model = FLUX.make()
    for block in model.transformer_blocks:
        processor = FluxIPAdapterAttnProcessor(32, 32, num_tokens=(4, 4), scale=[0.7, 0.5])
        block.attn.set_processor(processor)
    prompts = [fixed(2, 4, 32, seed=seed) for seed in (8, 9)]
    family = with_inputs(FLUX, joint_attention_kwargs={"ip_hidden_states": prompts})
    expected = run(family, model)
    with cache(model, ClusCaConfig(schedule=TeaCacheSchedule(threshold=-1)), timesteps=TIMES):
        for a, b in zip(run(family, model), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        assert len(summary(model).full_by_sample) == 2
