"""Schedules of masks: alone, as files, on models, with forecasts and with clusters."""

import json

import pytest
import torch

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    ExplicitSchedule,
    MaskSchedule,
    NoCorrection,
    ReuseForecaster,
    TaylorForecaster,
    cache,
    enable_cache,
    summary,
)
from clusca_ext.adapters import describe
from clusca_ext.schedule import ByIndex, Step
from families_image import FLUX
from families_video import COGVIDEOX, VIDEOS
from small_dit import make_dit, options, sample
from test_families import TIMES, run
from test_uvit import ADAPTER, UViT
from test_uvit import run as run_uvit

# Steps: full, mask, cached, full, cached, mask.
MARKS = {
    "attn-0": [1, 0, 0, 1, 0, 1],
    "mlp-0": [1, 1, 0, 1, 0, 0],
    "attn-1": [1, 1, 0, 1, 0, 0],
    "mlp-1": [1, 0, 0, 1, 0, 1],
}


def schedule_of(blocks, num_steps, *computed):
    """Full at even steps; at odd ones the modules named are computed."""
    names = [f"{name}-{block}" for block in range(blocks) for name in ("attn", "mlp")]
    return MaskSchedule(
        modules={n: [1 - s % 2 or int(n in computed) for s in range(num_steps)] for n in names}
    )


def test_decisions():
    schedule = MaskSchedule(modules=MARKS)
    decide = schedule.start(6)
    assert [decide(Step(index)) for index in range(6)] == [
        True,
        {(0, "mlp"), (1, "attn")},
        False,
        True,
        False,
        {(0, "attn"), (1, "mlp")},
    ]
    assert schedule.num_steps == 6
    assert schedule.removed == pytest.approx(12 / 24)
    with pytest.raises(ValueError, match="masks are of 6 steps, got 7"):
        schedule.start(7)
    with pytest.raises(ValueError, match="masks are of 6 steps, got one more"):
        schedule.start(None)(Step(6))


def test_no_step_comes_beyond_the_masks():
    """Where the run's length is not known, also of masks whose steps are full or cached."""
    decide = schedule_of(2, 6).start(None)
    assert [decide(Step(index)) for index in range(6)] == [True, False] * 3
    with pytest.raises(ValueError, match="masks are of 6 steps, got one more"):
        decide(Step(6))


def test_without_masks_coming_steps_are_known():
    assert isinstance(schedule_of(2, 6).start(6), ByIndex)
    assert not isinstance(MaskSchedule(modules=MARKS).start(6), ByIndex)


def test_it_is_part_of_a_configuration(tmp_path):
    config = ClusCaConfig(schedule=MaskSchedule(modules=MARKS))
    config.save(tmp_path / "config.json")
    assert ClusCaConfig.load(tmp_path / "config.json") == config
    assert hash(config) == hash(ClusCaConfig.from_dict(json.loads(json.dumps(config.to_dict()))))


def test_the_published_layout(tmp_path):
    schedule, path = MaskSchedule(modules=MARKS), tmp_path / "schedule.json"
    schedule.save(path)
    assert json.loads(path.read_text()) == MARKS
    assert MaskSchedule.load(path) == schedule
    path.write_text('{"attn1": [1, 0], "ff": [1, 1]}')  # of all blocks, with diffusers' names
    assert dict(MaskSchedule.load(path, blocks=2).modules) == {
        "attn-0": (1, 0),
        "attn-1": (1, 0),
        "mlp-0": (1, 1),
        "mlp-1": (1, 1),
    }
    with pytest.raises(ValueError, match="blocks must say how many the model has"):
        MaskSchedule.load(path)
    renamed = MaskSchedule.load(path, names={"attn1": "a", "ff": "b"}, blocks=1)
    assert [name for name, _ in renamed.modules] == ["a-0", "b-0"]


@pytest.mark.parametrize("text", ["[1]", '{"attn-0": 1}', "no", '{"attn-0": [1, 2]}', "{}"])
def test_other_files_are_refused(text, tmp_path):
    path = tmp_path / "schedule.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="must"):
        MaskSchedule.load(path)


@pytest.mark.parametrize(
    "modules, message",
    [
        ({}, "modules must have one step at least"),
        ({"attn-0": []}, "modules must have one step at least"),
        (5, "modules must be names with marks, one for each step, got 5"),
        ({"attn": [1]}, "a module must be named as \"attn-0\", with its block, got 'attn'"),
        ((("attn-0", (1,)), ("attn-00", (1,))), "must name each module once, got 'attn-00' again"),
        ({"attn-0": [1, True]}, "marks of 'attn-0' must be 0 or 1"),
        ({"attn-0": [1, 0.5]}, "marks of 'attn-0' must be 0 or 1"),
        ({"attn-0": [1, 0], "mlp-0": [1]}, "for as many steps each, got 1 for 'mlp-0' and 2"),
        ({"attn-0": [0, 1]}, "the first step must compute all modules, got 0 there for 'attn-0'"),
    ],
)
def test_bad_masks_are_refused(modules, message):
    with pytest.raises(ValueError, match=message):
        MaskSchedule(modules=modules)


def test_masks_of_another_model_are_refused(model):
    """Before anything runs: the model has three blocks."""
    with pytest.raises(ValueError, match=r"got 8: the model has no module attn-3, mlp-3"):
        enable_cache(model, ClusCaConfig(schedule=schedule_of(4, 12)))
    with pytest.raises(ValueError, match=r"got 4: the model has attn-2, mlp-2, too"):
        enable_cache(model, ClusCaConfig(schedule=schedule_of(2, 12)))
    enable_cache(model, ClusCaConfig(schedule=schedule_of(3, 12)), timesteps=range(20, 0, -1))
    with pytest.raises(ValueError, match="masks are of 12 steps, got 20"):
        sample(model)


def test_a_mask_of_what_runs_on_text_behind_attention_is_refused():
    """CogVideoX's MLPs: their input is what attention has made of text and video."""
    model = COGVIDEOX.make()
    blocks = describe(model).blocks
    names = [f"{part.name}-{i}" for i, block in enumerate(blocks) for part in block.modules]
    marks = {name: [1, int(name == "mlp-1")] for name in names}
    with pytest.raises(ValueError, match="must not compute mlp-1 in a step .* at step 1"):
        enable_cache(model, ClusCaConfig(schedule=MaskSchedule(modules=marks)))


@pytest.mark.parametrize(
    "family, name, why",
    [
        (FLUX, "attn", "its block's forward, for which the schedule's method masked must name it"),
        (COGVIDEOX, "mlp", "what other modules return, with text"),
    ],
    ids=["unsaid", "never"],
)
def test_a_schedule_of_ones_own_that_cannot_be_done_is_refused_in_the_run(family, name, why):
    class Own:
        def start(self, num_steps):
            return lambda step: step.index == 0 or frozenset({(0, name)})

    model = family.make()
    message = f"a mask cannot compute module '{name}' of block 0: it needs {why}"
    with cache(model, ClusCaConfig(schedule=Own())), pytest.raises(ValueError, match=message):
        run(family, model)


def counted(model, config, steps=12):
    with cache(model, config, **options(steps)):
        image, told = sample(model, steps), summary(model)
    return image, (told.full, told.cached, told.partial)


@pytest.mark.parametrize("corrector", [NoCorrection(), ClusterCorrector(num_clusters=8)])
def test_without_masks_it_is_the_explicit_schedule(model, corrector):
    explicit = ExplicitSchedule(steps=tuple(range(0, 12, 2)))
    expected, kinds = counted(model, ClusCaConfig(schedule=explicit, corrector=corrector))
    got, ours = counted(model, ClusCaConfig(schedule=schedule_of(3, 12), corrector=corrector))
    assert kinds == ours == (6, 6, 0)
    assert torch.equal(got, expected)


@pytest.mark.parametrize("corrector", [NoCorrection(), ClusterCorrector(num_clusters=8)])
@pytest.mark.parametrize("forecaster", [ReuseForecaster(), TaylorForecaster(order=1)])
def test_more_modules_computed_bring_it_closer_to_the_model(model, corrector, forecaster):
    expected, errors = sample(model), []
    for computed in ((), ("mlp-0", "attn-1", "mlp-1"), ("mlp-0", "attn-1", "mlp-1", "mlp-2")):
        config = ClusCaConfig(
            schedule=schedule_of(3, 12, *computed), forecaster=forecaster, corrector=corrector
        )
        image, kinds = counted(model, config)
        assert kinds == ((6, 0, 6) if computed else (6, 6, 0))
        errors.append((image - expected).square().mean().item())
    assert errors[0] > errors[1] > errors[2] > 0


def test_a_video_model_whose_mlps_are_callable():
    """Wan: the MLPs' masks against hooks that replace what is not computed."""
    family = next(each for each in VIDEOS if each.name == "WanTransformer3DModel")
    model, steps = family.make(), len(TIMES)
    parts = [(i, part) for i, b in enumerate(describe(model).blocks) for part in b.modules]
    marks = {
        f"{part.name}-{i}": [1 - s % 2 or int(part.name == "mlp") for s in range(steps)]
        for i, part in parts
    }
    config = ClusCaConfig(
        schedule=MaskSchedule(modules=marks),
        forecaster=ReuseForecaster(),
        corrector=NoCorrection(),
    )
    with cache(model, config, timesteps=TIMES):
        got = run(family, model)
        told = summary(model)
    assert (told.full, told.cached, told.partial) == (4, 0, 4)
    kept, now = {}, [0]

    def reuse(module, args, output):
        if now[0] % 2 == 0:
            kept[module] = output
        return kept[module]

    for _, part in parts:
        if part.name != "mlp":
            part.module.register_forward_hook(reuse)
    expected = run(family, model, lambda step: now.__setitem__(0, step))
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_blocks_of_ones_own():
    """U-ViT by its adapter, with all modules computed; test_mask_runs.py has others."""
    expected = run_uvit(UViT())
    names = [f"{name}-{block}" for block in range(5) for name in ("attn", "mlp")]
    schedule = MaskSchedule(modules={name: [1] * 4 for name in names})
    model = UViT()
    config = ClusCaConfig(schedule=schedule, corrector=NoCorrection())
    with cache(model, config, adapter=ADAPTER, timesteps=None):
        got = run_uvit(model)
        assert summary(model).partial == 0
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_the_model_is_left_as_it_was():
    model = make_dit()
    expected = sample(model)
    with cache(model, ClusCaConfig(schedule=schedule_of(3, 12, "mlp-1")), **options()):
        sample(model)
    assert torch.equal(sample(model), expected)
