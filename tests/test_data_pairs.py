"""Pairs made of data, by schedulers that scale what the model is given."""

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)
from torch import nn

from clusca_ext.learning import DataPairs
from clusca_ext.learning.calls import Call


def pairs_of(model, scheduler, clean=None, scheduling=None):
    """Of runs of ten steps."""
    clean = torch.zeros(2, 1, 4, 4) if clean is None else clean
    draw, call = lambda generator: (clean, None), lambda x, t, _: Call((x, t))
    return DataPairs(model, scheduler, 10, draw, call, scheduling)


class Predicts(nn.Module):
    """Nothing; and keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, x, timestep):
        self.given.append(x)
        return torch.zeros_like(x)


class Tanh(nn.Module):
    """Some noise, of what it is given."""

    def forward(self, x, timestep):
        return torch.tanh(3 * x + timestep / 1000)


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
    pairs = pairs_of(model, scheduler, torch.zeros(8, 1, 16, 16))
    pair = pairs.pair(0, 3, (2,), torch.Generator().manual_seed(0))
    (_, before), now = pair.before[0], pair.call
    assert torch.equal(before.args[0], model.given[0]) and len(model.given) == 1
    assert before.args[1] > now.args[1]
    spreads = [float(call.args[0].std()) for call in (before, now)]
    assert 0.6 < spreads[0] < 1.4 and 0.6 < spreads[1] < 4  # a step grows: nothing is predicted


class Twice(nn.Module):
    """The same, and a variance beside it, as DiT and PixArt predict."""

    def forward(self, x, timestep):
        return torch.cat([torch.tanh(3 * x + timestep / 1000), x * 1e3], 1)


@pytest.mark.parametrize("channels", [1, 4])
def test_a_models_variance_is_left_out(channels):
    def pair_of(model):
        clean = torch.linspace(-1, 1, 32 * channels).view(2, channels, 4, 4)
        pairs = pairs_of(model, DDIMScheduler(clip_sample=False), clean)
        return pairs.pair(0, 3, (0, 2), torch.Generator().manual_seed(5))

    twice, once = pair_of(Twice()), pair_of(Tanh())
    assert torch.equal(twice.call.args[0], once.call.args[0])
    assert twice.call.args[0].shape == (2, channels, 4, 4)


def test_a_scheduler_that_takes_a_variance_is_given_it():
    scheduler = DDPMScheduler(variance_type="learned_range", clip_sample=False)
    pairs = pairs_of(Twice(), scheduler)
    first, again = (pairs.pair(0, 3, (2,), torch.Generator().manual_seed(1)) for _ in range(2))
    assert first.call.args[0].shape == (2, 1, 4, 4)
    assert torch.equal(first.call.args[0], again.call.args[0])  # a step's noise is the pair's


def test_a_configuration_of_another_scheduler_splits_nothing():
    """It keeps ``variance_type`` of the one it was made from."""
    other = DDPMScheduler(variance_type="learned_range", clip_sample=False)
    scheduler = DDIMScheduler.from_config(other.config)
    assert scheduler.config.variance_type == "learned_range"
    pairs = pairs_of(Twice(), scheduler)
    assert pairs.pair(0, 3, (2,), torch.Generator()).call.args[0].shape == (2, 1, 4, 4)


class Wide(nn.Module):
    """A column more than it is given."""

    def forward(self, x, timestep):
        return torch.cat([x, x[..., :1]], -1)


def test_another_output_is_refused():
    pairs = pairs_of(Wide(), DDIMScheduler())
    with pytest.raises(ValueError, match=r"model must return .* \[2, 1, 4, 4\] or twice .* 4, 5\]"):
        pairs.pair(0, 3, (2,), torch.Generator())


def test_timesteps_are_shifted_as_the_sampler_shifts_them():
    """Of FLUX and others, which need ``mu`` for it."""
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)

    def timestep(**scheduling):
        pairs = pairs_of(Predicts(), scheduler, scheduling=scheduling)
        return float(pairs.pair(0, 3, (2,), torch.Generator()).call.args[1])

    shifted = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    shifted.set_timesteps(10, mu=1.15)
    assert timestep(mu=1.15) == float(shifted.timesteps[3]) > timestep(mu=0.5)


@pytest.mark.parametrize("before", [(2,), (0, 2)])
def test_a_pair_is_noise_added_and_steps_of_ddim(before):
    """Learning-to-Cache's: x_t by q_sample, x_t-1 by one step of the model, written out."""
    clean = torch.rand(2, 1, 4, 4) * 2 - 1
    scheduler = DDIMScheduler(clip_sample=False)

    pairs = pairs_of(Tanh(), scheduler, clean)
    pair = pairs.pair(0, 3, before, torch.Generator().manual_seed(5))
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))
    kept = (1 - torch.linspace(1e-4, 0.02, 1000)).cumprod(0)
    x = None
    for step in range(before[0], 4):
        time = 900 - 100 * step
        alpha = kept[time]
        if x is None:
            x = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        call = pair.call if step == 3 else dict(pair.before).get(step)
        if call is not None:
            assert call.args[1] == time
            torch.testing.assert_close(call.args[0], x, rtol=1e-4, atol=1e-4)
        eps, later = torch.tanh(3 * x + time / 1000), kept[time - 100]
        x = later.sqrt() * (x - (1 - alpha).sqrt() * eps) / alpha.sqrt() + (1 - later).sqrt() * eps
    assert tuple(step for step, _ in pair.before) == before
