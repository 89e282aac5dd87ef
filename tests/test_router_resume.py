"""Which training a checkpoint goes on with, and where one is after it was interrupted."""

import json

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from safetensors.torch import load_file, save_file
from torch import nn

from clusca_ext import TaylorForecaster
from clusca_ext.adapters import describe
from clusca_ext.digests import weights_digest
from clusca_ext.learning import (
    DataPairs,
    Mixer,
    PairObjective,
    Price,
    RunObjective,
    TrajectoryPairs,
)
from clusca_ext.learning.training import CHECKPOINT, Training, TrainingSettings
from small_dit import make_dit
from tiny_router import STEPS, call_of, draw, pairs_of, sampler, training_of


def with_other_weights():
    model = make_dit()
    with torch.no_grad():
        model.transformer_blocks[0].ff.net[2].weight.mul_(1.01)
    return model


@pytest.mark.parametrize(
    "name, source, change",
    [
        ("penalty", "trajectory", {"penalty": 0.5}),
        ("threshold", "trajectory", {"threshold": 0.5}),
        ("objective", "trajectory", {"source": "run"}),
        ("forecaster", "trajectory", {"forecaster": TaylorForecaster(order=1)}),
        ("weights", "trajectory", {"model": with_other_weights()}),
        ("penalty", "run", {"penalty": 0.5}),
        ("objective", "data", {"source": "trajectory"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_run_depends_on_is_refused_by_name(name, source, change, model, tmp_path):
    training_of(model, tmp_path, source, iterations=1).run()
    content = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(ValueError, match=f"^{name} must be .* as in the run of .*: take another"):
        training_of(**{"model": model, "folder": tmp_path, "source": source, **change})
    assert (tmp_path / CHECKPOINT).read_bytes() == content


def test_runs_say_what_they_depend_on(model, tmp_path):
    """Seeds of runs, how often a recorded one is used, and how HarmoniCa's student goes."""
    pairs = TrajectoryPairs(model, sampler(model), STEPS, uses=7, seed=3)
    assert pairs.about() == {"objective": "pairs", "uses": 7, "first_seed": 3}
    said = pairs_of(model, "data").about()
    assert said["objective"] == "data" and said["scheduler"].startswith("DDIMScheduler ")
    training = training_of(model, tmp_path, "run")
    objective = training._objective
    assert isinstance(objective, RunObjective)
    assert objective.about() == {
        "objective": "run",
        "penalty": 1e-3,
        "threshold": None,
        "theta": 0.1,
        "refresh": 5,
        "first_seed": 0,
    }
    assert objective.about().items() <= training.about.items()
    assert training.about["forecaster"] == {"type": "ReuseForecaster"}


def test_another_scheduler_is_another_run(model):
    def said(scheduler, **scheduling):
        return DataPairs(model, scheduler, STEPS, draw, call_of, scheduling).about()

    plain, shifted = FlowMatchEulerDiscreteScheduler, {"use_dynamic_shifting": True}
    assert said(plain()) == said(plain()) != said(plain(shift=3.0))
    assert said(plain(**shifted), mu=1.15) != said(plain(**shifted), mu=0.5)
    sigmas = torch.linspace(1, 0.1, STEPS)
    assert said(plain(), sigmas=sigmas) == said(plain(), sigmas=sigmas.numpy()) != said(plain())


class Own:
    """An objective of one's own, whose state an iteration changes before it has ended."""

    def __init__(self, objective):
        self._objective, self.seen = objective, torch.zeros(())

    def about(self):
        return {"objective": "own"}

    def backward(self, iteration, generator):
        self.seen += 1
        return self._objective.backward(iteration, generator)

    def state(self):
        return {"seen": self.seen}

    def load(self, state):
        self.seen = state["seen"]


def own_training(model, folder, objective=Own, about=None):
    first = training_of(model, folder, iterations=2)
    made = objective(first._objective)
    return Training(first._mixer, first.routers, made, first.settings, folder, about)


def test_the_first_iteration_may_be_interrupted(model, tmp_path, monkeypatch):
    training = own_training(model, tmp_path)
    monkeypatch.setattr(training.optimizer, "step", lambda: exec("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        training.run()
    assert training.iteration == 0 and training._objective.seen == 0
    assert load_file(tmp_path / CHECKPOINT)["objective.seen"] == 0
    monkeypatch.undo()
    training.run()
    assert training._objective.seen == 2


def test_what_cannot_be_kept_is_refused_before_it_begins(model, tmp_path):
    with pytest.raises(ValueError, match="objective must be an object with a method about, got"):
        own_training(model, tmp_path, objective=lambda plain: object())
    with pytest.raises(ValueError, match="data of about must be plain values, got tensor"):
        own_training(model, tmp_path, about={"data": torch.zeros(())})
    with pytest.raises(ValueError, match="pairs must be an object with a method about, got"):
        PairObjective(None, None, object(), Price())
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got 0.5"):
        TrajectoryPairs(model, sampler(model), STEPS, seed=0.5)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_an_older_release_is_refused(model, tmp_path):
    training_of(model, tmp_path, iterations=1).run()
    kept = load_file(tmp_path / CHECKPOINT)
    about = dict(training_of(model, tmp_path, iterations=1).about)
    del about["weights"]
    save_file(kept, tmp_path / CHECKPOINT, {"about": json.dumps(about)})
    with pytest.raises(ValueError, match="must say weights, got a checkpoint without: take anoth"):
        training_of(model, tmp_path)


class Sharded(torch.Tensor):
    """Not plain memory, as torch's DTensor and torchao's weights: it gives no numbers away."""

    def cpu(self):
        raise RuntimeError(".numpy() is not supported for tensor subclasses")


def test_what_is_not_plain_memory_is_told_by_its_shape():
    whole, compiled = nn.Linear(3, 4), nn.Linear(3, 4)
    compiled.load_state_dict(whole.state_dict())
    parts = nn.ModuleDict({"a": whole}), nn.ModuleDict({"a": torch.compile(compiled)})
    assert weights_digest(parts[0]) == weights_digest(parts[1])
    away = nn.Linear(3, 4, device="meta")
    sharded = nn.Linear(3, 4)
    sharded.weight = nn.Parameter(torch.zeros(4, 3).as_subclass(Sharded), requires_grad=False)
    found = {weights_digest(each) for each in (whole, away, sharded)}
    found |= {weights_digest(nn.Linear(3, 5, device="meta"))}
    found |= {weights_digest(nn.Linear(3, 4, device="meta", dtype=torch.bfloat16))}
    assert len(found) == 5


def test_fewer_iterations_than_were_done_are_refused(model, tmp_path):
    training_of(model, tmp_path, iterations=3).run()
    with pytest.raises(ValueError, match="iterations must be at least the 3 .* has done, got 2"):
        training_of(model, tmp_path, iterations=2)
    assert training_of(model, tmp_path, iterations=3).iteration == 3


@pytest.mark.parametrize("source", ["trajectory", "run"])
@pytest.mark.parametrize("at", ["before", "behind"])
def test_the_same_training_goes_on_after_an_interruption(at, source, model, tmp_path, monkeypatch):
    """One right before or behind the optimizer's step, which has moved logits and its own state."""
    whole = training_of(model, tmp_path / "whole", source, iterations=5)
    whole.run()
    training = training_of(model, tmp_path / "parts", source, iterations=5)
    step, count = training.optimizer.step, [0]

    def interrupted():
        count[0] += 1
        if at == "behind" or count[0] != 3:
            step()
        if count[0] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.optimizer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        training.run()
    assert training.iteration == len(training.errors) == 2
    kept = load_file(tmp_path / "parts" / CHECKPOINT)
    first = training.routers.cached_steps[0]
    assert torch.equal(training.routers.of_step(first), kept[f"logits.{first}"])
    training.run()
    a, b = (load_file(tmp_path / part / CHECKPOINT) for part in ("whole", "parts"))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["learning_rate", "penalty", "threshold"])
def test_numbers_that_are_none_are_refused(name, value, model, tmp_path):
    with pytest.raises(ValueError, match=f"{name} must be a finite number, got"):
        if name == "learning_rate":
            TrainingSettings(learning_rate=value)
        training_of(model, tmp_path, **{name: value})


def test_what_was_compiled_trains_uncompiled(model, tmp_path):
    """Its hooks are not those that a compiled model was traced with."""
    plain = training_of(model, tmp_path / "plain", "run", iterations=2)
    plain.run()
    torch.compiler.reset()
    compiled = make_dit()
    compiled.load_state_dict(model.state_dict())
    for block in compiled.transformer_blocks:
        block.compile(backend=_refusing)
    training = training_of(compiled, tmp_path / "compiled", "run", iterations=2)
    training.run()
    assert training.errors == plain.errors


def _refusing(graph, inputs):
    raise AssertionError("nothing must be compiled")


def test_a_compiled_model_is_described_as_what_it_was(model):
    described = describe(torch.compile(model, backend="eager"))
    assert described.model is model
    assert Mixer(described).keys == Mixer(describe(model)).keys
