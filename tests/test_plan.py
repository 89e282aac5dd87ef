"""Modulation planned for many steps: what the blocks would compute themselves, in fewer calls."""

import pytest
import torch

from clusca_ext import ClusCaConfig, ExplicitSchedule, cache, plan, summary
from clusca_ext.cache import Cache
from small_dit import make_dit, options, sample

STEPS = 12
CONFIG = ClusCaConfig(schedule=ExplicitSchedule(steps=(0, 4, 8)))


@pytest.fixture
def model(device):
    return make_dit(device)


class Linears:
    """Counts the calls of the blocks' modulation."""

    def __init__(self, model):
        self.count = 0
        for block in model.transformer_blocks:
            block.norm1.linear.register_forward_hook(self._add)

    def _add(self, *_):
        self.count += 1


def sample_unplanned(model, **inputs):
    with cache(model, CONFIG, **options(STEPS)):
        Cache.of(model).branch.plan.begin = lambda timesteps: None
        return sample(model, STEPS, **inputs)


def test_a_plan_is_what_the_blocks_compute(model):
    calls = Linears(model)
    expected = sample_unplanned(model)
    assert calls.count == STEPS * 3  # of every block
    calls.count = 0
    with cache(model, CONFIG, **options(STEPS)):
        got = sample(model, STEPS)
        assert summary(model).cached == 9
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    # 3 full steps, a first piece of one step, then the rest; on a device the first cached steps
    # may come before it is known there that the first timestep was the one announced
    on_host = next(model.parameters()).device.type == "cpu"
    assert calls.count == 5 * 3 if on_host else 5 * 3 <= calls.count < STEPS * 3


def test_what_the_plan_holds_is_bounded(monkeypatch):
    model, sizes = make_dit(), []
    expected = sample_unplanned(model)
    step = 3 * 6 * 32 * 4 * 4  # blocks x modulation x channels x rows x bytes
    monkeypatch.setattr(plan, "MAX_BYTES", 2 * step)
    with cache(model, CONFIG, **options(STEPS)):
        held = Cache.of(model).branch.plan
        got = sample(model, STEPS, on_step=lambda _: sizes.append(held.bytes() // step))
        assert sizes == [0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1]
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


TIMES = [900, 800, 700, 600, 500]
ZERO, ONE = torch.zeros(2, dtype=torch.long), torch.ones(2, dtype=torch.long)


def steps_of(model, given, labels, known=None):
    """Steps one by one; the first is full. Without ``known`` timesteps nothing is planned."""
    rows = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    config = ClusCaConfig(schedule=ExplicitSchedule(steps=(0,)))
    with cache(model, config, timesteps=known), torch.no_grad():
        return [
            model(rows, timestep=time, class_labels=label).sample
            for time, label in zip(given, labels, strict=True)
        ]


@pytest.mark.parametrize(
    "given, labels",
    [
        ([torch.tensor([t, t]) for t in TIMES], [ZERO, ZERO, ZERO, ONE, ZERO]),
        ([torch.tensor([t, t]) for t in [900, 800, 650, 600, 500]], [ONE] * 5),
        ([torch.tensor([t, t - 20 * (t < 700)]) for t in TIMES], [ZERO] * 5),
        ([torch.tensor([float(t)] * 2) for t in TIMES], [ONE] * 5),
    ],
    ids=["other-labels", "another-timestep", "one-row-of-another", "floats"],
)
def test_what_is_given_decides(given, labels):
    """Not what was planned: conditions may change, and timesteps differ from those announced."""
    model = make_dit()
    expected = steps_of(model, given, labels)
    for a, b in zip(steps_of(model, given, labels, TIMES), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_labels_changed_in_place_are_seen():
    model = make_dit()
    given = [torch.tensor([t, t]) for t in TIMES]
    expected = steps_of(model, given, [ZERO, ZERO, ZERO, ONE, ONE])
    labels = ZERO.clone()

    def changing():
        for step in range(5):
            labels.fill_(step > 2)
            yield labels

    got = steps_of(model, given, changing(), TIMES)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_a_new_run_is_planned_anew():
    model = make_dit()
    with cache(model, CONFIG, **options(STEPS)):
        first = sample(model, STEPS, samples=2)
        sample(model, STEPS, samples=3)
        torch.testing.assert_close(sample(model, STEPS, samples=2), first, rtol=0, atol=0)


@pytest.fixture
def device_like(monkeypatch):
    """Values are not read, as of tensors on a device."""
    monkeypatch.setattr(plan, "is_free", lambda tensor: False)


def planned_steps(model, given, labels):
    """How many steps were planned, and what came out."""
    used, blocks = [], model.transformer_blocks

    def watch(*_):
        used.append(Cache.of(model).blocks[0].planned is not None)

    handle = blocks[0].register_forward_pre_hook(watch)
    out = steps_of(model, given, labels, TIMES)
    handle.remove()
    return used, out


def test_on_a_device_a_step_that_was_seen_is_trusted(device_like):
    model, given, labels = make_dit(), [torch.tensor([t, t]) for t in TIMES], [ONE] * 5
    used, got = planned_steps(model, given, labels)
    assert used == [False, True, True, True, True]
    for a, b in zip(got, steps_of(model, given, labels), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_on_a_device_other_timesteps_are_not_planned(device_like):
    """As where a pipeline begins in the middle of its scheduler's timesteps."""
    model, given = make_dit(), [torch.tensor([t - 50, t - 50]) for t in TIMES]
    used, got = planned_steps(model, given, [ONE] * 5)
    assert not any(used)
    for a, b in zip(got, steps_of(model, given, [ONE] * 5), strict=True):
        assert torch.equal(a, b)


def test_on_a_device_a_timestep_that_was_wrong_after_all_is_an_error(device_like):
    model = make_dit()
    given = [torch.tensor([t, t - 20 * (t == 700)]) for t in TIMES]
    with pytest.raises(ValueError, match="timestep must be the one announced for its step"):
        steps_of(model, given, [ONE] * 5, TIMES)
    assert steps_of(model, given[:2], [ONE] * 2, TIMES)  # the cache goes on


def test_on_a_device_conditions_written_to_are_seen(device_like):
    model, labels = make_dit(), ONE.clone()
    given = [torch.tensor([t, t]) for t in TIMES]

    def changing():
        for step in range(5):
            if step == 3:
                labels.zero_()
            yield labels

    got = steps_of(model, given, changing(), TIMES)
    expected = steps_of(model, given, [ONE, ONE, ONE, ZERO, ZERO])
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
