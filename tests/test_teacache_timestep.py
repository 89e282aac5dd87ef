"""TeaCache of the timestep's embedding: Wan and CogVideoX, and who is refused."""

import dataclasses

import pytest
import torch

from clusca_ext import ClusCaConfig, TeaCacheSchedule, cache, changes, enable_cache, summary
from clusca_ext.enable import cache_of
from clusca_ext.learning.polynomial import fit_polynomial
from families_image import FLUX
from families_video import COGVIDEOX, wan
from families_video2 import WAN_VACE
from plain_adapting import relative_l1
from plain_timestep import PlainTimestep
from small_dit import make_dit
from test_adapting import RESIDUAL
from test_branches import draw, wan_pipeline
from test_families import run

TIMES = [950.0, 930.0, 900.0, 800.0, 790.0, 600.0, 590.0, 500.0, 350.0, 200.0]
POLYNOMIAL = (0.5, 0.8, 0.01)
EMBEDDED, PROJECTED = "embedded timestep", "projected timestep"
WANS = (wan(), wan(per_token=True), wan(image=True))
CASES = [(each, kind) for each in WANS for kind in (EMBEDDED, PROJECTED)]
CASES.append((COGVIDEOX, EMBEDDED))


MODES = {
    "first mode": {"polynomial": POLYNOMIAL},
    "second mode": {"warmup": 4, "last": False},
}
THRESHOLDS = {EMBEDDED: 1.2, PROJECTED: 0.45, "modulated input": 0.4}


def teacache(kind=EMBEDDED, mode="first mode"):
    return TeaCacheSchedule(threshold=THRESHOLDS[kind], change_of=kind, **MODES[mode])


def one(family):
    """With a batch of one."""
    return dataclasses.replace(family, noise=(1, *family.noise[1:]))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family, kind", CASES, ids=str)
def test_it_equals_its_transcription(family, kind, mode):
    schedule = teacache(kind, mode)
    model, alone = family.make(), one(family)
    with cache(model, ClusCaConfig(schedule=schedule, **RESIDUAL), timesteps=TIMES):
        got = run(alone, model, times=TIMES)
        kinds = cache_of(model).leader.kinds
    plain = PlainTimestep(model, schedule, len(TIMES))
    expected = run(alone, model, times=TIMES)
    assert kinds == plain.kinds[0] and schedule.warmup < kinds.count("full") < len(TIMES)
    assert kinds[-1] == "full" or not schedule.last
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "family, kind", [*CASES, (WAN_VACE, EMBEDDED), (WAN_VACE, PROJECTED)], ids=str
)
def test_it_is_told_what_hooks_see(family, kind):
    """And a polynomial is fitted to it."""
    model, alone, shown = family.make(), one(family), []
    fitted = fit_polynomial(
        model, lambda: run(alone, model, times=TIMES), 2, {"timesteps": TIMES}, kind
    )
    if family is COGVIDEOX:
        model.time_embedding.register_forward_hook(lambda *args: shown.append(args[-1]))
    else:
        embedder = model.condition_embedder
        which = embedder.time_embedder if kind == EMBEDDED else embedder.time_proj
        which.register_forward_hook(lambda *args: shown.append(args[-1]))
    run(alone, model, times=TIMES)
    changes = [relative_l1(b, a) for a, b in zip(shown, shown[1:], strict=False)]
    assert [x for x, _ in fitted.points] == pytest.approx(changes, rel=1e-4)


@pytest.mark.parametrize("family", [wan(), COGVIDEOX], ids=str)
def test_all_samples_decide_alike(family, monkeypatch):
    """For they have one timestep; the host waits once a step."""
    reads, read = [], changes.read
    monkeypatch.setattr(changes, "read", lambda *args: reads.append(1) or read(*args))
    schedule = teacache()
    model, ends = family.make(), []
    with cache(model, ClusCaConfig(schedule=schedule, **RESIDUAL), timesteps=TIMES):
        together = run(family, model, on_step=lambda _: ends.append(len(reads)), times=TIMES)
        said = summary(model)
        assert len(set(said.full_by_sample)) == 1 and len(said.full_by_sample) == 2
        waits = [b - a for a, b in zip(ends, ends[1:], strict=False)]
        assert max(waits) == 1 and waits[0] == 0
    plain = PlainTimestep(model, schedule, len(TIMES))
    for a, b in zip(together, run(family, model, times=TIMES), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert plain.kinds[0].count("full") == said.full_by_sample[0]


def test_guidance_in_one_batch():
    """Both rows are one sample's, as in CogVideoX's pipelines."""
    schedule = teacache()
    model, rows = COGVIDEOX.make(), ("uncond", "cond")
    config = ClusCaConfig(schedule=schedule, **RESIDUAL)
    with cache(model, config, timesteps=TIMES, cfg_rows=rows):
        got = run(COGVIDEOX, model, times=TIMES)
        kinds = cache_of(model).leader.kinds
        assert not summary(model).full_by_sample
    plain = PlainTimestep(model, schedule, len(TIMES))
    expected = run(COGVIDEOX, model, times=TIMES)
    assert kinds == plain.kinds[0]
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [EMBEDDED, PROJECTED])
def test_guidance_in_two_calls(kind):
    """As Wan's pipeline makes them: each adds up by itself."""
    pipe, steps, schedule = wan_pipeline(), 12, teacache(kind)
    with cache(pipe, ClusCaConfig(schedule=schedule, **RESIDUAL)):
        got = draw(pipe, steps=steps)
        kinds = [branch.kinds for branch in cache_of(pipe).branches.values()]
    plain = PlainTimestep(pipe.transformer, schedule, steps, calls=2)
    torch.testing.assert_close(got, draw(pipe, steps=steps), rtol=1e-3, atol=1e-3)
    assert kinds == [plain.kinds[0], plain.kinds[1]] and 2 < kinds[0].count("full") < steps


def test_on_a_compiled_model():
    """Whatever was compiled before for another signal."""
    torch._dynamo.reset()
    model, family = wan().make(), one(wan())
    schedules = [teacache(kind) for kind in ("modulated input", EMBEDDED, PROJECTED)]

    def kinds_of(schedule):
        with cache(model, ClusCaConfig(schedule=schedule, **RESIDUAL), timesteps=TIMES):
            outputs = run(family, model, times=TIMES)
            return cache_of(model).leader.kinds, outputs

    schedules.append(schedules[0])
    expected = [kinds_of(each) for each in schedules]
    model.compile(backend="eager")
    for each, (kinds, outputs) in zip(schedules, expected, strict=True):
        now, got = kinds_of(each)
        assert now == kinds
        for a, b in zip(got, outputs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_nothing_is_left_of_it():
    model = wan().make()
    embedder = model.condition_embedder.time_embedder
    before, schedule = vars(embedder).copy(), TeaCacheSchedule(change_of=EMBEDDED)
    with cache(model, ClusCaConfig(schedule=schedule), timesteps=TIMES):
        assert "forward" in vars(embedder)
    assert vars(embedder) == before


@pytest.mark.parametrize("make", [make_dit, FLUX.make])
def test_others_are_refused(make):
    model = make()
    config = ClusCaConfig(schedule=TeaCacheSchedule(change_of=PROJECTED))
    message = (
        f"one that the adapter of {type(model).__name__} finds, got 'projected timestep': take"
    )
    with pytest.raises(ValueError, match=message):
        enable_cache(model, config)
    with pytest.raises(ValueError, match="finds, got 'embedded timestep'"):
        fit_polynomial(model, lambda: None, change_of=EMBEDDED)
    with pytest.raises(ValueError, match="no cache"):
        cache_of(model)
    with pytest.raises(ValueError, match="change_of must be one of .* got 'e0'"):
        fit_polynomial(model, lambda: None, change_of="e0")


def test_an_embedding_that_is_never_made_is_missed():
    model, embedder = wan().make(), wan().make().condition_embedder
    schedule = TeaCacheSchedule(change_of=EMBEDDED)
    with cache(model, ClusCaConfig(schedule=schedule), timesteps=TIMES):
        model.condition_embedder.forward = embedder.forward
        with pytest.raises(ValueError, match="must be embedded before the first block is called"):
            run(one(wan()), model, times=TIMES)
