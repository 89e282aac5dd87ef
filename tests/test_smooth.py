"""SmoothCache: its greedy rule against a plain transcription, and its measurement."""

import json

import pytest
import torch

from clusca_ext import ClusCaConfig, NoCorrection, ReuseForecaster, cache, summary
from clusca_ext.learning import ErrorCurves, calibrate
from clusca_ext.learning.calls import record
from small_dit import options, sample
from test_uvit import ADAPTER, UViT
from test_uvit import run as run_uvit

STEPS = 10


def greedy(rows, bound, steps):
    """The published rule, step by step: rows[j][i] is the error of step i + j + 1 against i."""
    marks, i = [None] * steps, 0
    while i < steps:
        skipped = 0
        for j in reversed(range(len(rows))):
            if i < len(rows[j]) and rows[j][i] <= bound:
                skipped = j + 1
                break
        marks[i] = 1
        for s in range(i + 1, min(i + skipped, steps - 1) + 1):
            marks[s] = 0
        i += skipped + 1
    marks[0] = marks[-1] = 1
    return marks


def recorded(seed, steps=50, gaps=3):
    """Errors as runs have them: they fall, then rise, and grow with the gap."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for gap in range(1, gaps + 1):
        t = torch.linspace(-1, 1, steps - gap)
        noise = 0.6 + 0.8 * torch.rand(steps - gap, generator=generator)
        rows.append(((0.02 + 0.3 * t**4) * gap**0.7 * noise).tolist())
    return rows


@pytest.mark.parametrize("bound", [0.0, 0.02, 0.05, 0.08, 0.18, 0.35, 9.0])
@pytest.mark.parametrize("max_gap", [1, 2, 3])
def test_the_greedy_rule(bound, max_gap):
    curves = ErrorCurves(
        num_steps=50,
        modules=("attn-0", "mlp-0", "attn-1", "mlp-1"),
        curves={"attn": recorded(0), "mlp": recorded(1)},
    )
    marks = dict(curves.schedule(bound, max_gap).modules)
    assert list(marks) == ["attn-0", "mlp-0", "attn-1", "mlp-1"]
    for kind, seed in (("attn", 0), ("mlp", 1)):
        expected = greedy(recorded(seed)[:max_gap], bound, 50)
        assert list(marks[f"{kind}-0"]) == list(marks[f"{kind}-1"]) == expected


def test_by_hand():
    """Gap 2 is taken where its error allows it, though that of gap 1 would not."""
    curves = ErrorCurves(
        num_steps=6,
        modules=("mlp-0",),
        curves={"mlp": [[0.1, 0.9, 0.9, 0.1, 0.9], [0.9, 0.9, 0.1, 0.9]]},
    )
    assert curves.schedule(0.5).modules == (("mlp-0", (1, 0, 1, 0, 0, 1)),)
    assert curves.schedule(0.5, max_gap=1).modules == (("mlp-0", (1, 0, 1, 1, 0, 1)),)
    assert curves.schedule(0.05).removed == 0
    assert curves.schedule(1.0).modules == (("mlp-0", (1, 0, 0, 1, 0, 1)),)


def test_files(tmp_path):
    curves = ErrorCurves(num_steps=50, modules=("mlp-0",), curves={"mlp": recorded(0)})
    curves.save(tmp_path / "curves.json")
    assert ErrorCurves.load(tmp_path / "curves.json") == curves
    assert set(json.loads((tmp_path / "curves.json").read_text())) == {
        "num_steps",
        "modules",
        "curves",
    }
    for text in ("no", "[]", '{"num_steps": 3}', '{"num_steps": 3, "modules": [], "curves": {}}'):
        (tmp_path / "curves.json").write_text(text)
        with pytest.raises(ValueError, match="must hold the error curves of a model"):
            ErrorCurves.load(tmp_path / "curves.json")


def test_the_measurement_is_that_of_hooks(model):
    curves = calibrate(
        model, lambda seed: sample(model, steps=STEPS, samples=1, seed=seed), STEPS, 2, (0, 3)
    )
    seen = {}
    for index, block in enumerate(model.transformer_blocks):
        for name, module in (("attn", block.attn1), ("mlp", block.ff)):
            module.register_forward_hook(
                lambda m, a, out, k=(name, index): seen.setdefault(k, []).append(out)
            )
    for seed in (0, 3):
        sample(model, steps=STEPS, samples=1, seed=seed)
    for name in ("attn", "mlp"):
        assert [len(row) for row in curves.curves[name]] == [STEPS - 1, STEPS - 2]
        for gap, row in enumerate(curves.curves[name], 1):
            for step, got in enumerate(row):
                errors = []
                for index in range(3):
                    for run in (seen[name, index][:STEPS], seen[name, index][STEPS:]):
                        now, old = run[step + gap], run[step]
                        errors.append((now - old).abs().sum() / now.abs().sum())
                assert got == pytest.approx(torch.stack(errors).mean().item(), rel=1e-4)


def test_its_masks_run_and_get_closer_with_the_bound(model):
    def run():
        return sample(model, steps=STEPS, samples=1)

    curves = calibrate(model, lambda seed: run(), STEPS)
    flat = sorted(error for rows in curves.curves.values() for row in rows for error in row)
    expected, found = run(), []
    for bound in (flat[0] / 2, flat[len(flat) // 3], flat[-1]):
        schedule = curves.schedule(bound)
        config = ClusCaConfig(
            schedule=schedule, forecaster=ReuseForecaster(), corrector=NoCorrection()
        )
        with cache(model, config, **options(STEPS)):
            image = run()
            told = summary(model)
            assert told.steps == STEPS
        found.append((schedule.removed, (image - expected).square().mean().item()))
    assert found[0] == (0, 0)
    assert found[0][0] < found[1][0] < found[2][0]
    assert found[0][1] < found[1][1] < found[2][1]


def test_guidance_in_calls_of_its_own():
    """U-ViT, twice a step: the errors are those of both branches."""
    model = UViT().eval()

    both = record(model, lambda: run_uvit(model))
    steps = len(both)

    def alternating(seed):
        with torch.no_grad():
            for call in both:
                call.of(model)
                model(call.args[0] * 0.5, *call.args[1:], **call.kwargs)

    def alone(scale):
        def run(seed):
            with torch.no_grad():
                for call in both:
                    model(call.args[0] * scale, *call.args[1:], **call.kwargs)

        return calibrate(model, run, steps, 1, adapter=ADAPTER).curves["mlp"][0]

    with pytest.raises(ValueError, match="equally often in each of 7 steps, got"):
        calibrate(model, alternating, 7, 1, adapter=ADAPTER)
    got = calibrate(model, alternating, steps, 1, adapter=ADAPTER).curves["mlp"][0]
    expected = [(a + b) / 2 for a, b in zip(alone(1.0), alone(0.5), strict=True)]
    assert got == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda c: ErrorCurves(num_steps=1, modules=(), curves={}), "num_steps must be an integer"),
        (lambda c: ErrorCurves(num_steps=5, modules=("a-0",), curves={"b": [[1.0] * 4]}), "kinds"),
        (lambda c: ErrorCurves(num_steps=5, modules=("a-0",), curves={"a": [[1.0]]}), "4, 3, "),
        (lambda c: ErrorCurves(num_steps=5, modules=("a-0",), curves=5), "curves must be lists"),
        (lambda c: c.schedule("a"), "error_bound must be a number, got 'a'"),
        (lambda c: c.schedule(0.1, 4), r"max_gap must be an integer in \[1, 3\], got 4"),
    ],
)
def test_rejects(make, message):
    curves = ErrorCurves(num_steps=50, modules=("mlp-0",), curves={"mlp": recorded(0)})
    with pytest.raises(ValueError, match=message):
        make(curves)


def test_calibration_rejects(model):
    for values, message in (((3, 3), "max_gap must be an integer"), ((5, 1, ()), "seeds must be")):
        with pytest.raises(ValueError, match=message):
            calibrate(model, lambda seed: None, *values)
