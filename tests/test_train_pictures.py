"""The larger model's training: its crops, and a run that goes on where it was stopped."""

from argparse import Namespace

import pytest
import torch
from safetensors.torch import load_file

import pictures
import train_pictures
from clusca_ext.demo.picture_pipeline import NAMES

SETTINGS = {"steps": 3, "batch": 2, "seed": 0}


def test_crops_are_of_the_picture_and_the_place_they_say():
    of = pictures.pictures()
    assert tuple(pictures.PICTURES) == NAMES
    assert all(min(each.shape[1:]) == pictures.SHORT_SIDE for each in of)
    images, labels, parts = pictures.crops(of, 12, torch.Generator().manual_seed(0))
    assert images.abs().max() <= 1
    for image, label, part in zip(images, labels.tolist(), parts.tolist(), strict=True):
        windows = of[label].unfold(1, 64, 1).unfold(2, 64, 1)
        same = (windows == image[:, None, None]).flatten(3).all(3).all(0).nonzero().tolist()
        ends = windows.shape[1:3]
        assert any(
            all(3 * at // end <= third < (3 * at + 3) / end for at, end, third in places)
            for places in (zip(at, ends, divmod(part, 3), strict=True) for at in same)
        )


def test_the_model_sees_a_straight_line_and_learns_its_slope():
    """With an oracle that solves for the noise the loss is zero."""
    of = [torch.full((3, 64, 64), 0.5)]

    class Oracle:
        def __call__(self, noisy, timestep, class_labels):
            sigma = (timestep / 1000).view(-1, 1, 1, 1)
            noise = (noisy - (1 - sigma) * 0.5) / sigma
            return Namespace(sample=noise - 0.5)

    _, scheduler = train_pictures.build()
    generator = torch.Generator().manual_seed(0)
    loss = train_pictures.loss_of(Oracle(), scheduler, 8, of, generator)
    assert loss.item() < 1e-8


@pytest.fixture
def train(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model: model)

    def run(name, **changes):
        folder, state = tmp_path / name, tmp_path / f"{name}.safetensors"
        settings = SETTINGS | {"until": None} | changes
        done = train_pictures.train(Namespace(**settings, folder=folder, state=state))
        return done, load_file(folder / "transformer/diffusion_pytorch_model.safetensors")

    return run


def test_a_run_that_was_stopped_goes_on(train):
    done, whole = train("whole")
    assert done["steps_done"] == 3 and all(t.dtype == torch.float16 for t in whole.values())
    early, part = train("stopped", until=2)
    assert early["steps_done"] == 2
    assert any(not torch.equal(tensor, part[name]) for name, tensor in whole.items())
    again, goes_on = train("stopped")
    assert again == done
    assert all(torch.equal(tensor, goes_on[name]) for name, tensor in whole.items())


def test_a_run_of_other_settings_is_refused(train):
    train("run", until=1)
    with pytest.raises(SystemExit, match=r"batch 4, seed 0, blocks 8, channels \d+; got .*batch 2"):
        train("run", batch=4)
