"""The embedded model's training: a run goes on with its own checkpoint, and with no other's."""

from argparse import Namespace

import pytest
import torch
from safetensors.torch import load_file, save_file

import train_digits

SETTINGS = {"steps": 3, "batch": 2, "seed": 0}


@pytest.fixture
def train(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model: model)

    def run(name="state", **changes):
        folder, state = tmp_path / name, tmp_path / f"{name}.safetensors"
        done = train_digits.train(Namespace(**SETTINGS | changes, folder=folder, state=state))
        return done, load_file(folder / "transformer/diffusion_pytorch_model.safetensors")

    return run


def assert_same(ours, theirs):
    assert ours[0] == theirs[0]
    assert all(torch.equal(tensor, theirs[1][name]) for name, tensor in ours[1].items())


def test_a_run_that_was_stopped_goes_on(train, monkeypatch):
    whole = train("whole")
    assert whole[0]["final_loss"] > 0
    assert_same(train("whole"), whole)  # nothing is left to do, and the report says the same
    update = train_digits.Training.update

    def stop_after_one(training, loss, rate):
        if training.step == 1:
            training.save()
            raise KeyboardInterrupt
        update(training, loss, rate)

    with monkeypatch.context() as stopping, pytest.raises(KeyboardInterrupt):
        stopping.setattr(train_digits.Training, "update", stop_after_one)
        train("stopped")
    assert_same(train("stopped"), whole)


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch": 4}, {"steps": 2}], ids=str)
def test_a_checkpoint_of_other_settings_is_refused(train, change):
    train()
    with pytest.raises(SystemExit) as said:
        train(**change)
    for settings in (SETTINGS, SETTINGS | change):
        assert "steps {steps}, batch {batch}, seed {seed}".format(**settings) in str(said.value)
    assert "state.safetensors" in str(said.value)
    assert train()[0]["seed"] == 0  # what was refused is left as it was


def test_a_checkpoint_that_does_not_say_its_settings_is_refused(train, tmp_path):
    save_file({"step": torch.tensor(3)}, tmp_path / "state.safetensors")
    with pytest.raises(SystemExit, match="steps not known, batch not known, seed not known"):
        train()
