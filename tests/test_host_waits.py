"""How often the host waits for the device in a step whose samples decide by looking."""

from types import SimpleNamespace

import pytest
import torch

from clusca_ext import ClusCaConfig, ReuseForecaster, SpeCaSchedule, cache, changes, summary
from clusca_ext.adapters import dit
from clusca_ext.enable import cache_of
from small_dit import options, sample
from test_adapting import SCHEDULES
from test_pipeline import make_pipeline

IN_STEP = {"teacache", "first block"}  # decided by what the step itself shows


@pytest.fixture
def reads(monkeypatch):
    """How many changes were read, at each time the host has waited."""
    counts, read = [], changes.read

    def counting(unread, group):
        counts.append(len(unread))
        return read(unread, group)

    monkeypatch.setattr(changes, "read", counting)
    return counts


@pytest.fixture
def told(monkeypatch):
    """The changes that schedules have been told."""
    numbers = []
    for schedule in SCHEDULES.values():
        kind = type(schedule.start(12))

        def seeing(decide, step, change, see=kind.see):
            numbers.append(change)
            return see(decide, step, change)

        monkeypatch.setattr(kind, "see", seeing)
    return numbers


class Apart:
    """A model called for each half of its batch, as by pipelines that guide in two calls."""

    def __init__(self, model):
        self.model, self.parameters = model, model.parameters

    def __call__(self, rows, timestep, class_labels):
        inputs = (x.chunk(2) for x in (rows, timestep, class_labels))
        outputs = []
        for name, x, time, labels in zip(("cond", "uncond"), *inputs, strict=True):
            with self.model.cache_context(name):
                outputs.append(self.model(x, timestep=time, class_labels=labels).sample)
        return SimpleNamespace(sample=torch.cat(outputs))


@pytest.mark.parametrize("apart", [False, True], ids=["one call", "two calls"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_host_waits_once_for_all_samples(model, name, apart, reads, told):
    """Once a step; where guidance calls twice and each call decides by itself, once a call."""
    called = Apart(model) if apart else model
    given = {"timesteps": options()["timesteps"]} if apart else options()
    config = ClusCaConfig(schedule=SCHEDULES[name], forecaster=ReuseForecaster())
    ends = [0]  # reads until the end of every step
    with cache(model, config, **given):
        together = sample(called, samples=3, on_step=lambda step: ends.append(len(reads)))
        full = summary(model).full_by_sample
        waits = [after - before for before, after in zip(ends[:-1], ends[1:], strict=True)]
        most = 2 if apart and name in IN_STEP else 1
        assert max(waits) == most and waits[0] == 0, waits
        assert max(reads) == (6 if apart and name not in IN_STEP else 3), reads
        assert 0 < len(told) <= sum(reads), "a schedule was told what was read elsewhere"
        alone = [sample(called, samples=1, seed=i, label=i) for i in range(3)]
    assert torch.equal(torch.cat(alone), together)
    assert len(full) == 3 and max(full) < 12


def test_a_first_block_is_computed_once_a_step(model):
    """Though its sample is looked at before the step is done; and nothing of it is held after."""
    calls, first = [], model.transformer_blocks[0]
    first.attn1.register_forward_pre_hook(lambda *_: calls.append(1))
    with cache(model, ClusCaConfig(schedule=SCHEDULES["first block"]), **options()):
        sample(model, samples=3)
        assert len(calls) == 3 * 12
        assert all(branch.seen.output is None for branch in cache_of(model).branches.values())


def test_a_look_that_is_broken_off_leaves_nothing(model):
    """The run begins again; what the other samples had been looked at for is forgotten."""
    config = ClusCaConfig(schedule=SCHEDULES["first block"])
    calls = []

    def fail(*_):
        calls.append(1)
        if len(calls) == 5:  # of the second step's looks, the second
            raise KeyError("broken off")

    with cache(model, config, **options()):
        expected = sample(model, samples=3)
        handle = model.transformer_blocks[0].attn1.register_forward_pre_hook(fail)
        with pytest.raises(KeyError, match="broken off"):
            sample(model, samples=3)
        handle.remove()
        here = cache_of(model)
        assert not here.branches and not here._running and not here._fitting.probe.runs
        assert all(each.seen.output is None for each in here._branches.every)
        assert torch.equal(sample(model, samples=3), expected)


def test_a_run_that_ends_early_leaves_its_last_changes_unread(model, reads):
    """A new run does not wait for what the last step of the one before has shown."""
    schedule = SpeCaSchedule(threshold=1e9, floor=1e9, min_skips=1, max_skips=11, warmup=1)
    with cache(model, ClusCaConfig(schedule=schedule), **options()):
        sample(model, samples=3)
        assert reads == [3] * 10
        sample(model, samples=3)
        assert reads == [3] * 20


@pytest.mark.parametrize("name", SCHEDULES)
def test_how_rows_pair_up_is_asked_once_a_run(name, monkeypatch):
    """By reading labels or latents on the host, in some families."""
    asked, pairs = [], dit._pairs
    monkeypatch.setattr(dit, "_pairs", lambda *args: asked.append(args) or pairs(*args))
    pipe, counts = make_pipeline(), []
    with cache(pipe, ClusCaConfig(schedule=SCHEDULES[name])):
        for steps in (6, 6, 12):
            asked.clear()
            pipe(class_labels=[1, 2], num_inference_steps=steps, output_type="np")
            counts.append(len(asked))
    assert counts == [3, 3, 3]  # of the call, and where the run of each of two samples begins
