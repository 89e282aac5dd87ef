"""When a cached step is captured anew: when what a graph has frozen changes, and not otherwise."""

import contextlib

import pytest
import torch
from peft import LoraConfig
from torch import nn

from clusca_ext import ClusCaConfig, ExplicitSchedule, IntervalSchedule, cache, reset, summary
from clusca_ext.cache import Cache
from clusca_ext.graphs.steps import MAX_GRAPHS
from families_image import FLUX
from small_dit import make_dit, options, sample
from test_families import TIMES
from test_graphs import FEW, GRAPH, run, same
from test_lora import load

INTERVAL = {"schedule": IntervalSchedule(interval=3, warmup=1)}


class Runs:
    """Runs of a cached model, and how many of their steps were captured."""

    def __init__(self, model, graphs):
        self.model, self.graphs = model, graphs

    def expect(self, captures, steps=9, **inputs):
        """A run captures so many steps, and replays all others that are cached."""
        before = self.graphs.captures, self.graphs.replays
        got = sample(self.model, steps, **inputs)
        assert summary(self.model).cached_step == GRAPH
        done = summary(self.model).cached
        now = self.graphs.captures, self.graphs.replays
        assert (now[0] - before[0], now[1] - before[1]) == (captures, done - captures)
        return got


@pytest.fixture
def dit(emulation):
    model = make_dit()
    with cache(model, ClusCaConfig(**INTERVAL), cfg_rows=("cond", "uncond")):
        yield Runs(model, emulation)


def alone(**inputs):
    """What a new model gives in a run, without graphs."""
    model = make_dit(**{k: inputs.pop(k) for k in ("dtype",) if k in inputs})
    with cache(model, ClusCaConfig(**INTERVAL, cuda_graph=False), cfg_rows=("cond", "uncond")):
        return sample(model, 9, **inputs)


def test_another_batch_or_resolution(dit):
    for inputs in ({}, {"samples": 3}, {"size": 12}, {}):
        for captures in (1, 0):
            got = dit.expect(captures, **inputs)
            assert torch.equal(got, alone(**inputs))


def test_other_values(dit):
    dit.expect(1)
    for inputs in ({"seed": 5}, {"guidance": 3.0}, {"steps": 14}):
        got = dit.expect(0, **inputs)
        if "steps" not in inputs:
            assert torch.equal(got, alone(**inputs))


@torch.no_grad()
def test_inputs_that_lie_in_memory_otherwise(emulation):
    """Of the same shape and dtype, and other strides: copies of the others cannot be filled."""
    model, labels = make_dit(), torch.tensor([1, 2])
    rows = torch.randn(2, 1, 16, 16)
    ways = [rows, rows, rows.mT.contiguous().mT, rows, torch.cat([rows] * 2, dim=3)[..., :16]]

    def steps():
        times = [torch.tensor([900 - i] * 2) for i in range(len(ways))]
        return [
            model(way, timestep=time, class_labels=labels).sample
            for way, time in zip(ways, times, strict=True)
        ]

    how = {"schedule": ExplicitSchedule(steps=(0,))}
    with cache(model, ClusCaConfig(**how, cuda_graph=False)):
        expected = steps()
    with cache(model, ClusCaConfig(**how)):
        for captures in (3, 3):
            assert same(steps(), expected)
            assert emulation.captures == captures


def test_another_dtype(dit):
    dit.expect(1)
    dit.model.to(torch.bfloat16)
    for captures in (1, 0):
        assert torch.equal(dit.expect(captures), alone(dtype=torch.bfloat16))


def test_weights_of_other_values_and_of_another_place(dit):
    first = dit.expect(1)
    with torch.no_grad():
        for weight in dit.model.parameters():
            weight.mul_(1.1)
    changed = dit.expect(0)
    assert not torch.equal(changed, first)
    with torch.no_grad():
        for weight in dit.model.parameters():
            weight.data = weight.data.clone()
    assert torch.equal(dit.expect(1), changed)
    dit.model.proj_out_2.bias = nn.Parameter(dit.model.proj_out_2.bias + 1)
    assert not torch.equal(dit.expect(1), changed)
    assert dit.expect(0) is not None


def test_weights_that_move_within_a_run(dit):
    expected = alone()
    dit.expect(1)

    def move(step):
        if step == 4:
            for weight in dit.model.parameters():
                weight.data = weight.data.clone()

    assert torch.equal(dit.expect(1, on_step=move), expected)


@pytest.mark.parametrize(
    "mode, captures",
    [
        # Memory of inference mode is left with it, other memory is used in it, too.
        (torch.inference_mode, (1, 1, 1, 0)),
        (lambda: torch.autocast("cpu"), (1, 1, 1, 1)),
    ],
    ids=["inference", "autocast"],
)
def test_modes(mode, captures, dit):
    with mode():
        within = alone()
    expected = within, alone()
    for run_, count in enumerate(captures):
        with mode() if run_ % 2 == 0 else contextlib.nullcontext():
            assert torch.equal(dit.expect(count), expected[run_ % 2])


def test_inputs_that_are_not_tensors(emulation):
    """They are frozen: others need another graph, equal ones do not."""
    model, config = FLUX.make(), ClusCaConfig(**FEW)
    load(model, "one", 1)
    scales = (1.0, 0.5, 1.0)
    with cache(model, ClusCaConfig(**FEW, cuda_graph=False), timesteps=TIMES):
        expected = [run(FLUX, model, joint_attention_kwargs={"scale": s}) for s in scales]
    assert not same(expected[0], expected[1])
    with cache(model, config, timesteps=TIMES):
        for scale, captures, each in zip(scales, (1, 1, 0), expected, strict=True):
            before = emulation.captures
            assert same(run(FLUX, model, joint_attention_kwargs={"scale": scale}), each)
            assert emulation.captures - before == captures


def test_loras(emulation):
    model, told = FLUX.make(), {"timesteps": TIMES}

    def both(change):
        """The run after a change, eagerly on a model and by graphs on another."""
        change(plain)
        change(model)
        with cache(plain, ClusCaConfig(**FEW, cuda_graph=False), **told):
            expected = run(FLUX, plain)
        before = emulation.captures
        assert same(run(FLUX, model), expected)
        assert summary(model).cached_step == GRAPH
        return emulation.captures - before

    plain = FLUX.make()
    with cache(model, ClusCaConfig(**FEW), **told):
        assert both(lambda m: None) == 1
        assert both(lambda m: load(m, "one", 1)) == 1
        assert both(lambda m: None) == 0
        assert both(lambda m: m.set_adapters(["one"], weights=[0.5])) == 1
        assert both(lambda m: m.set_adapters(["one"], weights=[0.5])) == 0
        assert both(lambda m: m.disable_lora()) == 1
        assert both(lambda m: m.enable_lora()) == 0
        assert both(lambda m: m.unload_lora()) == 1


def test_a_batch_that_changes_within_a_run(emulation):
    model = make_dit()
    rows, labels = torch.randn(4, 1, 16, 16), torch.tensor([1, 2, 10, 10])
    times = list(range(900, 0, -100))

    @torch.no_grad()
    def steps():
        return [
            model(rows[:n], timestep=torch.full((n,), t), class_labels=labels[:n]).sample
            for t, n in zip(times, [4] * 5 + [2] * 4, strict=True)
        ]

    how = {"schedule": ExplicitSchedule(steps=(0, 3))}
    with cache(model, ClusCaConfig(**how, cuda_graph=False), timesteps=times):
        expected = steps()
    with cache(model, ClusCaConfig(**how), timesteps=times):
        for count in (1, 2):
            assert same(steps(), expected)
            assert emulation.captures == 2 * count  # memory of the larger batch was given back
            assert len(Cache.of(model).graphs._graphs) == 1


def test_memory_is_given_back(dit):
    dit.expect(1)
    (first,) = dit.graphs.recordings
    reset(dit.model)
    assert dit.graphs.released == [first]
    dit.expect(1)
    with pytest.raises(IndexError), torch.no_grad():
        ones = torch.full((4,), 99)
        dit.model(torch.zeros(4, 1, 16, 16), timestep=ones, class_labels=ones)  # of 10 classes
    assert len(dit.graphs.released) == 2
    dit.expect(1)


def test_the_end_gives_memory_back(emulation):
    model = make_dit()
    with cache(model, ClusCaConfig(), **options()):
        sample(model)
        assert not emulation.released
    assert emulation.released == emulation.recordings


def test_what_is_never_the_same_is_captured_a_few_times_only(emulation):
    """A number that changes with every step would need a graph at every step."""
    model, config = FLUX.make(), ClusCaConfig(schedule=ExplicitSchedule(steps=(0,)))
    times = [1000.0 - 10 * step for step in range(16)]
    model.add_adapter(LoraConfig(r=2, target_modules=["ff.net.2"]))

    @torch.no_grad()
    def steps():
        return [
            model(**FLUX.inputs(torch.ones(FLUX.noise), t), joint_attention_kwargs={"scale": t})[0]
            for t in times
        ]

    with cache(model, config, timesteps=times):
        got = steps()
        says = summary(model).cached_step
        assert says == f"eager: its inputs differ in more than values, {MAX_GRAPHS} times in a run"
        assert emulation.captures == MAX_GRAPHS and emulation.replays == 0
        assert same(steps(), got)
        held = Cache.of(model).graphs._graphs
        assert len(held) == MAX_GRAPHS
        assert len(emulation.released) == emulation.captures - MAX_GRAPHS
