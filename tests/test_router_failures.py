"""What ends a router's training without harm to its checkpoint."""

import pytest
import torch

from clusca_ext.learning.training import CHECKPOINT
from clusca_ext.writing import alone
from test_router_training import Stop, logits_of, stop_at
from tiny_router import training_of


@pytest.mark.parametrize("source", ["trajectory", "run"])
def test_a_loss_that_is_no_number_ends_it(source, model, tmp_path):
    """The checkpoint is that of the last good iteration, and goes on once the cause is mended."""
    whole = training_of(model, tmp_path / "whole", source)
    whole.run()
    broken, bias = training_of(model, tmp_path / "parts", source), model.proj_out_2.bias.data

    def breaks(measured):
        if broken.iteration == 3:
            bias[0] = torch.nan

    before = bias.clone()
    with pytest.raises(ValueError, match="must be finite, got NaN or infinity at iteration 3"):
        broken.run(breaks)
    bias.copy_(before)
    again = training_of(model, tmp_path / "parts", source)
    assert again.iteration == 3 and logits_of(again).isfinite().all()
    again.run()
    assert torch.equal(logits_of(again), logits_of(whole))


def test_a_gradient_that_is_no_number_ends_it(model, tmp_path):
    training = training_of(model, tmp_path)
    backward = training._objective.backward

    def overflows(iteration, generator):
        measured = backward(iteration, generator)
        next(p for p in training.routers.parameters() if p.grad is not None).grad[0] = torch.inf
        return measured

    training._objective.backward = overflows
    with pytest.raises(ValueError, match="its gradients must be finite, got NaN or infinity at it"):
        training.run()
    assert training.iteration == 0 and logits_of(training).isfinite().all()


def test_a_folder_has_one_training(model, tmp_path):
    training = training_of(model, tmp_path)
    with alone(tmp_path), pytest.raises(ValueError, match="is being written by another process"):
        training.run()
    with pytest.raises(Stop):
        training.run(stop_at(1))
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
