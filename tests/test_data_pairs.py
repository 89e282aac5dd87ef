"""Pairs made of data, by schedulers that scale what the model is given."""

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler
from torch import nn

from clusca_ext.learning import DataPairs
from clusca_ext.learning.calls import Call


class Predicts(nn.Module):
    """Nothing; and keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, x, timestep):
        self.given.append(x)
        return torch.zeros_like(x)


@pytest.mark.parametrize(
    "scheduler",
    [
        DDIMScheduler(clip_sample=False),
        EulerDiscreteScheduler(),
        FlowMatchEulerDiscreteScheduler(),
    ],
    ids=lambda scheduler: type(scheduler).__name__,
)
def test_inputs_are_scaled_as_in_sampling(scheduler):
    """Noise alone has a spread of one at high timesteps, where Euler's own is above twenty."""
    model = Predicts()

    def draw(generator):
        return torch.zeros(8, 1, 16, 16), None

    pairs = DataPairs(model, scheduler, 10, draw, lambda x, t, _: Call((x, t)))
    pair = pairs.pair(0, 3, (2,), torch.Generator().manual_seed(0))
    (_, before), now = pair.before[0], pair.call
    assert torch.equal(before.args[0], model.given[0]) and len(model.given) == 1
    assert before.args[1] > now.args[1]
    spreads = [float(call.args[0].std()) for call in (before, now)]
    assert 0.6 < spreads[0] < 1.4 and 0.6 < spreads[1] < 4  # a step grows: nothing is predicted
