"""SmoothCache: its greedy rule against a plain transcription, and its measurement."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch

from clusca_ext import ClusCaConfig, NoCorrection, ReuseForecaster, cache, summary
from clusca_ext.learning import ErrorCurves, calibrate, calibration
from clusca_ext.learning.calls import record
from small_dit import options, sample
from test_uvit import ADAPTER, UViT
from test_uvit import run as run_uvit

STEPS = 10
UNEQUAL = {"a-0": [[1.0] * 2, [1.0]], "a-1": [[1.0] * 2]}


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


def made_up(seed, steps=50, gaps=3):
    """Errors that fall, then rise, and grow with the gap."""
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
        curves={
            "attn-0": made_up(0),
            "mlp-0": made_up(1),
            "attn-1": made_up(2),
            "mlp-1": made_up(3),
        },
    )
    marks = dict(curves.schedule(bound, max_gap).modules)
    assert list(marks) == ["attn-0", "mlp-0", "attn-1", "mlp-1"]
    alone = dict(curves.schedule(bound, max_gap, by="module").modules)
    for kind, seeds in (("attn", (0, 2)), ("mlp", (1, 3))):
        first, second = (np.concatenate(made_up(seed)) for seed in seeds)
        mean = np.split((first + second) / 2, np.cumsum([49, 48]))
        expected = greedy(mean[:max_gap], bound, 50)
        assert list(marks[f"{kind}-0"]) == list(marks[f"{kind}-1"]) == expected
        for block, seed in enumerate(seeds):
            assert list(alone[f"{kind}-{block}"]) == greedy(made_up(seed)[:max_gap], bound, 50)


def test_by_hand():
    """Gap 2 is taken where its error allows it, though that of gap 1 would not."""
    curves = ErrorCurves(
        num_steps=6,
        curves={"mlp-0": [[0.1, 0.9, 0.9, 0.1, 0.9], [0.9, 0.9, 0.1, 0.9]]},
    )
    assert curves.schedule(0.5).modules == (("mlp-0", (1, 0, 1, 0, 0, 1)),)
    assert curves.schedule(0.5, max_gap=1).modules == (("mlp-0", (1, 0, 1, 1, 0, 1)),)
    assert curves.schedule(0.05).removed == 0
    assert curves.schedule(1.0).modules == (("mlp-0", (1, 0, 0, 1, 0, 1)),)


@pytest.mark.parametrize(("share", "computed"), [(0.0, 4), (0.25, 3), (0.5, 2)])
def test_what_comes_nearest_to_a_share(share, computed):
    """Computed at 0 and 3, and between them where the error says so."""
    curves = ErrorCurves(num_steps=4, curves={"mlp-0": ((0.1, 0.2, 0.3), (0.3, 0.4))})
    ((_, marks),) = curves.leaving_out(share).modules
    assert sum(marks) == computed


def test_a_module_of_its_own_is_left_out_where_its_kind_is_not():
    still, moving = [[0.1] * 3, [0.1] * 2], [[0.9] * 3, [0.9] * 2]
    curves = ErrorCurves(num_steps=4, curves={"mlp-0": still, "mlp-1": moving})
    assert curves.schedule(0.3).removed == 0
    alone = dict(curves.schedule(0.3, by="module").modules)
    assert alone == {"mlp-0": (1, 0, 0, 1), "mlp-1": (1, 1, 1, 1)}
    assert curves.leaving_out(0.25, by="module").removed == 0.25
    assert curves.leaving_out(0.25).removed == 0 and curves.leaving_out(0.4).removed == 0.5
    assert dict(curves.leaving_out(0.5, max_gap=1).modules)["mlp-0"] == (1, 0, 1, 1)


def test_files(tmp_path):
    curves = ErrorCurves(num_steps=50, curves={"mlp-0": made_up(0)})
    curves.save(tmp_path / "curves.json")
    assert ErrorCurves.load(tmp_path / "curves.json") == curves
    written = json.loads((tmp_path / "curves.json").read_text())
    assert set(written) == {"num_steps", "curves", "together"}
    for text in ("no", "[]", '{"num_steps": 3}', '{"num_steps": 3, "curves": {}}'):
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
        of_kind = []
        for index in range(3):
            rows = curves.curves[f"{name}-{index}"]
            assert [len(row) for row in rows] == [STEPS - 1, STEPS - 2]
            expected = []
            for gap in (1, 2):
                for step in range(STEPS - gap):
                    errors = []
                    for run in (seen[name, index][:STEPS], seen[name, index][STEPS:]):
                        now, old = run[step + gap], run[step]
                        errors.append((now - old).abs().sum() / now.abs().sum())
                    expected.append(torch.stack(errors).mean().item())
            assert [*rows[0], *rows[1]] == pytest.approx(expected, rel=1e-4)
            of_kind.append(expected)
        rows = curves.kinds[name]
        assert [*rows[0], *rows[1]] == pytest.approx(np.mean(of_kind, axis=0), rel=1e-4)


def test_a_low_precision_is_kept_and_read_once_a_step(model, monkeypatch):
    """Outputs stay as they are, errors are of float32, and no module waits for the device."""
    monkeypatch.setattr(calibration, "_Looks", Watched)
    Watched.kept.clear()
    model.to(torch.bfloat16)
    curves = calibrate(model, lambda seed: sample(model, steps=STEPS, samples=1), STEPS, 2)
    assert [kept for kept, _ in Watched.kept] == [{torch.bfloat16}] * STEPS
    assert [pending for _, pending in Watched.kept] == [0, 6] + [12] * (STEPS - 2)
    outputs = []
    model.transformer_blocks[0].ff.register_forward_hook(lambda *given: outputs.append(given[2]))
    sample(model, steps=STEPS, samples=1)
    pairs = [(now.float(), old.float()) for old, now in pairwise(outputs)]
    expected = [((now - old).abs().sum() / now.abs().sum()).item() for now, old in pairs]
    assert list(curves.curves["mlp-0"][0]) == pytest.approx(expected, rel=1e-5)


class Watched(calibration._Looks):
    kept = []

    def end(self):
        dtypes = {output.dtype for kept in self._before.values() for output in kept}
        self.kept.append((dtypes, len(self._errors)))
        super().end()


def test_its_masks_run_and_get_closer_with_the_bound(model):
    def run():
        return sample(model, steps=STEPS, samples=1)

    curves = calibrate(model, lambda seed: run(), STEPS)
    flat = sorted(error for rows in curves.kinds.values() for row in rows for error in row)
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

        return calibrate(model, run, steps, 1, adapter=ADAPTER).kinds["mlp"][0]

    with pytest.raises(ValueError, match="equally often in each of 7 steps, got"):
        calibrate(model, alternating, 7, 1, adapter=ADAPTER)
    got = calibrate(model, alternating, steps, 1, adapter=ADAPTER).kinds["mlp"][0]
    expected = [(a + b) / 2 for a, b in zip(alone(1.0), alone(0.5), strict=True)]
    assert got == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda c: ErrorCurves(num_steps=1, curves={}), "num_steps must be an integer"),
        (lambda c: ErrorCurves(num_steps=5, curves={}), "curves must be of one module at least"),
        (lambda c: ErrorCurves(num_steps=5, curves={"b": [[1.0] * 4]}), "with its block, got 'b'"),
        (lambda c: ErrorCurves(num_steps=5, curves={"a-0": [[1.0]]}), "'a-0' must have 4, 3, "),
        (lambda c: ErrorCurves(num_steps=2, curves={"a-0": []}), "must have 1, 0, "),
        (lambda c: ErrorCurves(num_steps=3, curves=UNEQUAL), "'a-1' must have 2, 1, "),
        (lambda c: ErrorCurves(num_steps=5, curves=5), "curves must be lists by module"),
        (lambda c: c.schedule(0.1, by="block"), r"by must be one of \['kind', 'module'\], got"),
        (lambda c: c.leaving_out("much"), "share must be a number, got 'much'"),
        (lambda c: c.leaving_out(40), r"share must be in \[0, 1\], got 40"),
        (lambda c: c.schedule("a"), "error_bound must be a number, got 'a'"),
        (lambda c: c.schedule(0.1, 4), r"max_gap must be an integer in \[1, 3\], got 4"),
    ],
)
def test_rejects(make, message):
    curves = ErrorCurves(num_steps=50, curves={"mlp-0": made_up(0)})
    with pytest.raises(ValueError, match=message):
        make(curves)


def test_calibration_rejects(model):
    for values, message in (((3, 3), "max_gap must be an integer"), ((5, 1, ()), "seeds must be")):
        with pytest.raises(ValueError, match=message):
            calibrate(model, lambda seed: None, *values)
