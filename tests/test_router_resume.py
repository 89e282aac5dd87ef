"""Which training a checkpoint goes on with, and where one is after it was interrupted."""

import pytest
import torch
from safetensors.torch import load_file

from clusca_ext import ReuseForecaster, TaylorForecaster
from clusca_ext.adapters import describe
from clusca_ext.learning import Mixer, RunObjective, TrajectoryPairs
from clusca_ext.learning.training import CHECKPOINT, TrainingSettings
from small_dit import make_dit
from tiny_router import STEPS, pairs_of, sampler, training_of


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
    assert pairs_of(model, "data").about() == {"objective": "data", "scheduler": "DDIMScheduler"}
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
    assert training.about["forecaster"] == repr(ReuseForecaster())


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
