"""Schedules that adapt on the families of diffusers, and under masks of PAB."""

import pytest
import torch

from clusca_ext import (
    AdaCacheSchedule,
    ClusCaConfig,
    FirstBlockSchedule,
    LeanStorage,
    NoCorrection,
    PyramidSchedule,
    ReuseForecaster,
    SpeCaSchedule,
    TeaCacheSchedule,
    TokenCorrector,
    cache,
    summary,
)
from clusca_ext.adapters import describe
from clusca_ext.enable import cache_of
from families_image import FLUX, IMAGES
from families_video import COGVIDEOX, VIDEOS
from small_dit import options, sample
from test_families import run

TIMES = [0.95, 0.85, 0.75, 0.65, 0.55]
FAMILIES = [*IMAGES, *VIDEOS]


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_every_family_shows_its_signals(family):
    model = family.make()
    expected = run(family, model, times=TIMES)
    schedules = (
        TeaCacheSchedule(threshold=1e9, max_interval=3),
        FirstBlockSchedule(threshold=1e9, max_interval=3),
        SpeCaSchedule(threshold=1e9, floor=1e9, max_skips=2, min_skips=1, warmup=1),
    )
    for schedule in schedules:
        config = ClusCaConfig(
            schedule=schedule, forecaster=ReuseForecaster(), corrector=NoCorrection()
        )
        with cache(model, config, timesteps=TIMES):
            got = run(family, model, times=TIMES)
            kinds = cache_of(model).leader.kinds
            samples = len(summary(model).full_by_sample) or 1
            seen = cache_of(model).leader.seen
        assert samples == family.noise[0]
        assert kinds[:4] == ["full", "cached", "cached", "full"], (schedule, kinds)
        # A sample alone may be computed by other kernels than a batch.
        torch.testing.assert_close(got[0], expected[0], rtol=1e-4, atol=1e-4)
        shown = seen.change if isinstance(schedule, SpeCaSchedule) else seen.before
        assert shown is not None and bool(shown.isfinite().all())
    again = run(family, model, times=TIMES)
    assert all(torch.equal(a, b) for a, b in zip(again, expected, strict=True))


def test_pab_computes_attention_at_its_pace(model):
    called = []
    for index, block in enumerate(model.transformer_blocks):
        block.attn1.register_forward_hook(lambda *_, i=index: called.append((i, "attn")))
        block.ff.register_forward_hook(lambda *_, i=index: called.append((i, "mlp")))
    schedule = PyramidSchedule(ranges=(("attn", 3),), between=(0.25, 0.75))
    config = ClusCaConfig(schedule=schedule, forecaster=ReuseForecaster(), corrector=NoCorrection())
    with cache(model, config, **options()):
        sample(model, samples=1)
        kinds = "".join(kind[0] for kind in cache_of(model).leader.kinds)
    assert kinds == "ffffppfppfff"  # steps 3 to 8 of 0 to 11 are between
    assert called.count((1, "attn")) == 8 and called.count((1, "mlp")) == 12


def test_pab_reuses_attention(model):
    """Against the model whose attention returns what it returned last."""
    schedule = PyramidSchedule(ranges=(("attn", 2),), between=(0, 1))
    config = ClusCaConfig(schedule=schedule, forecaster=ReuseForecaster(), corrector=NoCorrection())
    with cache(model, config, **options()):
        got = sample(model, samples=1)
    kept, steps = {}, [0]

    def reuse(module, args, output):
        if steps[0] % 2 == 0:
            kept[module] = output
        return kept[module]

    for block in model.transformer_blocks:
        block.attn1.register_forward_hook(reuse)
    expected = sample(model, samples=1, on_step=lambda step: steps.__setitem__(0, step + 1))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


ALONE = [each for each in FAMILIES if each.name.startswith(("PixArt", "Wan", "LTX"))]


@pytest.mark.parametrize("family", ALONE, ids=str)
def test_pab_computes_what_needs_no_more_than_the_stream(family):
    """Self-attention is reused at every second step, all else computed: as by hooks on it."""
    model = family.make()
    schedule = PyramidSchedule(ranges=(("attn", 2),), between=(0, 1))
    config = ClusCaConfig(schedule=schedule, forecaster=ReuseForecaster(), corrector=NoCorrection())
    with cache(model, config, timesteps=TIMES):
        got = run(family, model, times=TIMES)
        assert summary(model).partial == len(TIMES) // 2
    kept, steps = {}, [0]

    def reuse(module, args, kwargs, output):
        if steps[0] % 2 == 0:
            kept[module] = output
        return kept[module]

    attentions = [
        module.module
        for block in describe(model).blocks
        for module in block.modules
        if module.name == "attn"
    ]
    for module in attentions:
        module.register_forward_hook(reuse, with_kwargs=True)
    at = lambda step: steps.__setitem__(0, step)  # noqa: E731
    for ours, expected in zip(got, run(family, model, at, TIMES), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_pab_checks_its_fields():
    with pytest.raises(ValueError, match="range of 'attn' must be an integer of at least 1, got 0"):
        PyramidSchedule(ranges=(("attn", 0),))
    with pytest.raises(ValueError, match="two ascending fractions, got"):
        PyramidSchedule(between=(0.9, 0.1))


COMPILED = {
    "whole": lambda model: model.compile(backend="eager"),
    "blocks": lambda model: [b.compile(backend="eager") for b in model.transformer_blocks],
}


@pytest.mark.parametrize("how", COMPILED)
def test_adapting_on_a_compiled_model(model, how):
    """One after the other, for what was compiled for one of them must not run for the next."""
    torch._dynamo.reset()
    schedules = [
        SpeCaSchedule(threshold=0.01, decay=1, floor=0.001, min_skips=1, warmup=1),
        TeaCacheSchedule(threshold=0.04),
        AdaCacheSchedule(codebook=((0.01, 5), (0.02, 3), (0.2, 2))),
        FirstBlockSchedule(threshold=0.2),
        AdaCacheSchedule(codebook=((0.01, 5), (0.02, 3), (0.2, 2)), block=0),
    ]
    parts = {"forecaster": ReuseForecaster(), "corrector": NoCorrection()}
    parts["storage"] = LeanStorage(basis="gated")
    configs = [ClusCaConfig(schedule=schedule, **parts) for schedule in schedules]
    # With tokens to keep where the code before had none to keep, and the other way round.
    configs += [ClusCaConfig(corrector=NoCorrection()), ClusCaConfig(), configs[0]]
    configs += [ClusCaConfig(corrector=TokenCorrector()), ClusCaConfig(corrector=NoCorrection())]

    def draw(config):
        with cache(model, config, **options()):
            return sample(model), summary(model)

    expected = [draw(config) for config in configs]
    COMPILED[how](model)
    for config, (pictures, said) in zip(configs, expected, strict=True):
        got, now = draw(config)
        torch.testing.assert_close(got, pictures, rtol=1e-5, atol=1e-5)
        assert (now.full, now.full_by_sample) == (said.full, said.full_by_sample)


def test_pab_says_at_once_where_it_cannot_be():
    """Not in the middle of a run: no mask may compute the MLPs of CogVideoX beside forecasts."""
    with pytest.raises(ValueError, match="must not let 'mlp' be computed while others are"):
        schedule = PyramidSchedule(ranges=(("attn", 2),))
        cache(COGVIDEOX.make(), ClusCaConfig(schedule=schedule)).__enter__()


def test_pab_may_leave_out_what_is_fused_with_attention():
    """FLUX's single-stream blocks are computed at every step then, the others' attention not."""
    model = FLUX.make()
    config = ClusCaConfig(schedule=PyramidSchedule(ranges=(("attn", 2),), between=(0, 1)))
    with cache(model, config, timesteps=TIMES):
        run(FLUX, model, times=TIMES)
        assert cache_of(model).leader.kinds == ["full", "partial"] * 2 + ["full"]


def test_pab_of_one_pace_is_whole_steps():
    model = FLUX.make()
    ranges = (("attn", 3), ("mlp", 3), ("out", 3))
    config = ClusCaConfig(schedule=PyramidSchedule(ranges=ranges, between=(0, 1)))
    with cache(model, config, timesteps=TIMES):
        run(FLUX, model, times=TIMES)
        assert cache_of(model).leader.kinds == ["full", "cached", "cached", "full", "cached"]
