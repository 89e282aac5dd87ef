"""Training of routers: what they learn, and that a stopped run goes on to the same bits."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from clusca_ext import (
    ClusCaConfig,
    MaskSchedule,
    NoCorrection,
    ReuseForecaster,
    TaylorForecaster,
    cache,
    summary,
)
from clusca_ext.adapters import describe
from clusca_ext.learning import Mixer, PairObjective, Price, Routers, TrainingSettings, write_report
from clusca_ext.learning.calls import prediction, record
from clusca_ext.learning.history import History
from clusca_ext.learning.training import CHECKPOINT
from small_dit import make_dit, options, sample
from tiny_router import CACHED, STEPS, pairs_of, sampler, training_of

SOURCES = ["data", "trajectory", "run"]


def logits_of(training):
    return torch.stack([p.detach().clone() for p in training.routers.logits])


class Stop(Exception):
    pass


def stop_at(count):
    """Raises once ``count`` iterations are done."""
    left = [count]

    def on_iteration(measured):
        left[0] -= 1
        if not left[0]:
            raise Stop

    return on_iteration


@pytest.mark.parametrize("source", SOURCES)
def test_a_stopped_run_goes_on_to_the_same_bits(source, model, tmp_path):
    whole = training_of(model, tmp_path / "whole", source)
    whole.run()
    for stop in (4, 2):  # beside checkpoints, in the middle of a recorded run
        with pytest.raises(Stop):
            training_of(model, tmp_path / "parts", source).run(stop_at(stop))
        torch.manual_seed(stop)  # nothing depends on torch's own generator
    last = training_of(model, tmp_path / "parts", source)
    assert last.iteration == 6
    last.run()
    assert torch.equal(logits_of(last), logits_of(whole))
    assert last.errors == whole.errors
    a, b = (load_file(tmp_path / part / CHECKPOINT) for part in ("whole", "parts"))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_an_interruption_within_an_iteration_keeps_the_last_whole_one(model, tmp_path):
    training = training_of(model, tmp_path, "trajectory")
    with pytest.raises(Stop):
        training.run(stop_at(2))
    before = (tmp_path / CHECKPOINT).read_bytes()
    again = training_of(model, tmp_path, "trajectory")
    backward = again._objective.backward

    def interrupted(iteration, generator):
        backward(iteration, generator)
        again.routers.logits[0].data.add_(1)  # as if the optimizer had begun
        raise KeyboardInterrupt

    again._objective.backward = interrupted
    with pytest.raises(KeyboardInterrupt):
        again.run()
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("source", SOURCES)
def test_where_computing_costs_nothing_the_error_falls(source, model, tmp_path):
    count = 6 if source == "run" else 24  # a run is of all cached steps
    training = training_of(model, tmp_path, source, iterations=count, penalty=0.0)
    first = logits_of(training)
    training.run()
    moved = logits_of(training) - first
    assert len(training.errors) == count
    assert moved.abs().min() > 0  # all of them learn
    assert moved.mean() > 0.2  # towards computing


def test_where_it_costs_a_lot_nothing_is_computed(model, tmp_path):
    training = training_of(model, tmp_path, iterations=40, penalty=1e3)
    assert training.routers.removed(0.5) < 1
    training.run()
    assert training.routers.removed(0.5) == 1
    schedule = training.routers.schedule(0.5)
    assert [schedule.decision(step) for step in range(STEPS)] == [True, False] * 3


def test_what_has_no_effect_is_removed_first(model, tmp_path):
    """Block 1's gates are closed: computing its modules changes nothing."""
    with torch.no_grad():
        model.transformer_blocks[1].norm1.linear.weight.zero_()
        model.transformer_blocks[1].norm1.linear.bias.zero_()
    training = training_of(model, tmp_path, iterations=40, penalty=1e-7)
    first = logits_of(training)
    training.run()
    moved = logits_of(training) - first
    closed = [key[0] == 1 for key in training.routers.learnt]
    assert moved[:, closed].max() < -0.5  # their price is all that pulls
    assert moved[:, [not each for each in closed]].mean() > 0


def test_rounded_betas_have_the_gradients_of_soft_ones(model, tmp_path):
    routers = training_of(model, tmp_path).routers
    soft, hard = routers.scores(1), routers.scores(1, threshold=0.5)
    assert torch.equal(hard.round(), (soft > 0.5).float())
    assert set(hard.detach().round().tolist()) <= {0.0, 1.0}
    weights = torch.arange(1.0, 1 + len(soft))
    found = [torch.autograd.grad((s * weights).sum(), routers.of_step(1))[0] for s in (soft, hard)]
    assert torch.equal(*found)
    training = training_of(model, tmp_path, threshold=0.5)
    training.run()
    assert training.iteration == 8


def test_only_the_step_of_a_batch_is_moved(model, tmp_path):
    training = training_of(model, tmp_path, iterations=1)
    before = logits_of(training)
    training.run()
    assert (logits_of(training) != before).any(1).sum() == 1


def test_weights_of_a_run_are_image_errors(model, tmp_path):
    """Against a run of its own that is mixed at one step alone, plainly written."""
    training = training_of(model, tmp_path, "run")
    objective, routers, mixer = training._objective, training.routers, training._mixer
    full, errors = sampler(model)(0), []
    betas = {step: routers.scores(step).detach() for step in CACHED}
    with mixer.installed():
        objective.backward(0, torch.Generator())
    for step in CACHED:
        kept, count = {}, [0]
        model.register_forward_pre_hook(lambda *_, c=count: c.__setitem__(0, c[0] + 1))
        handles = []
        for place, (block, name) in enumerate(mixer.keys):
            owner = model.transformer_blocks[block]
            module = owner.attn1 if name == "attn" else owner.ff
            beta = betas[step][place]

            def mix(module, args, out, beta=beta, kept=kept, count=count, step=step):
                if count[0] - 1 == step:
                    return beta * out + (1 - beta) * kept[module]
                kept[module] = out
                return None

            handles.append(module.register_forward_hook(mix))
        errors.append((sampler(model)(0) - full).square().mean().double())
        for handle in handles:
            handle.remove()
    expected = torch.stack(errors) / torch.stack(errors).mean()
    assert expected.std() > 0.01
    torch.testing.assert_close(objective.weights, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("order", [0, 1])
def test_rounded_betas_are_the_schedule(order, model, tmp_path):
    """The student's hard run equals a cache with the learnt masks."""
    forecaster = TaylorForecaster(order=order) if order else ReuseForecaster()
    training = training_of(model, tmp_path, iterations=1, forecaster=forecaster)
    routers, mixer = training.routers, training._mixer
    schedule = routers.schedule(0.5)
    assert any(not isinstance(schedule.decision(step), bool) for step in CACHED)
    config = ClusCaConfig(schedule=schedule, forecaster=forecaster, corrector=NoCorrection())
    calls = []
    with cache(model, config, **options(STEPS)):
        model.register_forward_hook(lambda *given: calls.append(prediction(given[-1])))
        recorded = record(model, lambda: sample(model, steps=STEPS, samples=1))
        assert summary(model).full == 3
    history = History()
    with mixer.installed(), torch.no_grad():
        for step, (call, got) in enumerate(zip(recorded, calls[:STEPS], strict=True)):
            if step in CACHED:
                betas = routers.betas(routers.scores(step, 0.5))
                out = mixer.mixed(call, step, history, betas, refresh=0.5)
            else:
                out = mixer.full(call, step, history)
            torch.testing.assert_close(got, prediction(out), rtol=1e-4, atol=1e-5)


def test_the_report(model, tmp_path):
    training = training_of(model, tmp_path, iterations=3)
    training.run()
    schedule = write_report(training, 0.5, tmp_path, {"psnr": 30.5})
    report = json.loads((tmp_path / "report.json").read_text())
    assert MaskSchedule.load(tmp_path / "mask.json") == schedule
    assert report["removed"] == round(schedule.removed, 4)
    assert report["removed_in_cached_steps"] == round(training.routers.removed(0.5), 4)
    assert (report["iterations"], report["psnr"], report["theta"]) == (3, 30.5, 0.5)
    kept = [sum(m[s] for _, m in schedule.modules) for s in CACHED]
    assert list(report["computed_in_cached_steps"].values()) == kept
    picture = Image.open(tmp_path / "mask.png")
    colors = {color for _, color in picture.getcolors(1 << 16)}
    assert {(150, 160, 175), (28, 84, 168), (236, 239, 244)} <= colors


def test_a_checkpoint_of_another_run_is_refused(model, tmp_path):
    training_of(model, tmp_path, "trajectory", iterations=1).run()
    with pytest.raises(ValueError, match="objective must be 'pairs' as in the run of"):
        training_of(model, tmp_path, "data")
    (tmp_path / CHECKPOINT).write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="must be a checkpoint of routers"):
        training_of(model, tmp_path, "trajectory")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Price(penalty=-1), "penalty must be at least 0, got -1"),
        (lambda: Price(threshold=1), r"threshold must be in \[0, 1\), got 1"),
        (lambda: TrainingSettings(iterations=0), "iterations must be an integer of at least 1"),
        (lambda: TrainingSettings(learning_rate=0), "learning_rate must be above 0, got 0"),
        (lambda: Routers([(0, "a")], [(0, "a")], 4, []), "cached_steps must ascend and be one"),
        (lambda: Routers([(0, "a")], [(0, "a")], 4, [0]), r"every one of cached_steps .* \[1, 3\]"),
        (lambda: Routers([(0, "a")], [], 4, [1]), "a module at least must be one that a mask"),
    ],
)
def test_rejects(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_pairs_of_other_runs_are_refused():
    model = make_dit()
    mixer = Mixer(describe(model))
    routers = Routers(mixer.keys, mixer.learnt, STEPS + 1, CACHED)
    with pytest.raises(ValueError, match="pairs must be of runs of 7 steps, got 6"):
        PairObjective(mixer, routers, pairs_of(model, "data"), Price())
    pairs = pairs_of(model, "trajectory")
    pairs._sample = sampler(model, steps=4)
    with pytest.raises(ValueError, match="equally often in each of 6 steps, got 4 calls"):
        pairs.pair(0, 1, (0,), torch.Generator())
