"""Why a cached step stays eager: the summary says it, and the run is an eager one."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    IntervalSchedule,
    cache,
    enable_cache,
    summary,
)
from clusca_ext.cache import Cache
from clusca_ext.graphs import captured, cuda
from clusca_ext.summary import combine
from graph_emulation import Recording
from small_dit import make_dit, options, sample

STEPS = 6
INTERVAL = {"schedule": IntervalSchedule(interval=3, warmup=1)}
CONFIG = ClusCaConfig(**INTERVAL)
PERSISTENT = ClusterCorrector(rule="value", persistent=True)


def eager(model, config=CONFIG):
    how = {name: getattr(config, name) for name in ("schedule", "corrector")}
    with cache(model, ClusCaConfig(**how, cuda_graph=False), **options(STEPS)):
        return sample(model, STEPS)


def reason(model, config=CONFIG, **inputs):
    """What the summary says of a run, which equals an eager one."""
    expected = eager(model, config)
    with cache(model, config, **options(STEPS)):
        assert torch.equal(sample(model, STEPS, **inputs), expected)
        says = summary(model).cached_step
        assert f"cached step      {says}" in f"{summary(model)}"
    assert says.startswith("eager: ")
    return says.removeprefix("eager: ")


def test_a_cpu():
    assert reason(make_dit()) == "graphs are CUDA's, and the model is on cpu"


def test_before_a_step_was_cached(emulation):
    model = make_dit()
    enable_cache(model, CONFIG)
    assert summary(model).cached_step == "eager: no step was cached"


def test_the_configuration(emulation, tmp_path):
    config = ClusCaConfig(**INTERVAL, cuda_graph=False)
    assert reason(make_dit(), config) == "cuda_graph=False"
    assert ClusCaConfig().cuda_graph is True and emulation.captures == 0
    config.save(tmp_path / "config.json")
    assert ClusCaConfig.load(tmp_path / "config.json") == config
    with pytest.raises(ValueError, match="cuda_graph must be True or False, got 1"):
        ClusCaConfig(cuda_graph=1)


def test_persistent_corrections(emulation):
    config = ClusCaConfig(**INTERVAL, corrector=PERSISTENT)
    assert reason(make_dit(), config) == "corrections are written into the cache at every step"


class Masks:
    """All modules, then one, again and again."""

    def start(self, num_steps):
        return lambda step: step.index % 3 == 0 or frozenset({(1, "mlp")})


def test_masks(emulation):
    config = ClusCaConfig(schedule=Masks())
    assert reason(make_dit(), config) == "some modules are computed at its steps"
    assert emulation.captures == 0


class Moving(nn.Module):
    """Weights that have another place after every call."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, *args, **kwargs):
        weight = self.inner.weight
        weight.data = weight.data.clone()
        return self.inner(*args, **kwargs)


def test_weights_that_move_with_every_call(emulation):
    model = make_dit()
    model.proj_out_1 = Moving(model.proj_out_1)
    assert reason(model) == "weights move while the model runs"
    assert emulation.captures == 0


def test_inputs_that_might_change_unseen(emulation):
    model = make_dit()

    class Note:
        pass

    told = options(STEPS)
    expected = eager(model)
    original = model.forward
    model.forward = lambda *args, note=None, **kwargs: original(*args, **kwargs)
    noted = Noting(model, Note())
    with cache(model, CONFIG, **told):
        assert torch.equal(sample(noted, STEPS), expected)
        says = summary(model).cached_step
    assert says == "eager: input 'note' is or holds a Note, which might change unseen"
    del model.forward


class Noting:
    def __init__(self, model, note):
        self.model, self.note, self.parameters = model, note, model.parameters

    def __call__(self, *args, **kwargs):
        return self.model(*args, note=self.note, **kwargs)


def test_inputs_on_another_device(emulation):
    model = make_dit()
    with cache(model, CONFIG, **options(STEPS)):
        sample(model, STEPS)
        held = Cache.of(model)
        held.graphs.expect(held._fitting.installed, "cached", torch.device("cpu"))
        elsewhere = torch.zeros(2, device="meta")
        assert held.graphs.take((elsewhere,), {}) is None
        assert "has a tensor on meta: a graph would keep its value" in held.graphs.says


def test_modes_that_look_at_operators(emulation):
    model = make_dit()
    with cache(model, CONFIG, **options(STEPS)):
        sample(model, STEPS)
        with FlopCounterMode(display=False) as plain:
            sample(model, STEPS)
        assert "a mode is on that looks at operators" in summary(model).cached_step
    eagerly = cache(model, ClusCaConfig(**INTERVAL, cuda_graph=False), **options(STEPS))
    with eagerly, FlopCounterMode(display=False) as counted:
        sample(model, STEPS)
    assert plain.get_total_flops() == counted.get_total_flops() > 0


def test_another_capture(emulation):
    emulation.busy = True
    assert reason(make_dit()) == "somebody else captures it"


def test_a_capture_that_fails(emulation):
    """Once for a graph, not at every step; all is as if it had not been tried."""
    emulation.fails = RuntimeError("CUDA error: not permitted\nmore")
    model = make_dit()
    assert reason(model) == "the capture failed: RuntimeError: CUDA error: not permitted"
    emulation.fails = None
    with cache(model, CONFIG, **options(STEPS)):
        sample(model, STEPS)
        assert emulation.recorder is None
        assert summary(model).cached_step == "one CUDA graph"


def test_a_value_read_on_the_host(emulation, monkeypatch):
    model, forward = make_dit(), type(make_dit()).forward

    def reading(self, hidden_states, **kwargs):
        assert hidden_states.sum().item() is not None
        return forward(self, hidden_states, **kwargs)

    monkeypatch.setattr(type(model), "forward", reading)
    says = reason(model)
    assert says.startswith("the capture failed: RuntimeError: operation not permitted")
    assert "\n" not in says


def test_a_replay_that_gives_something_else(emulation, monkeypatch):
    monkeypatch.setattr(Recording, "replay", Recording.spoil)
    assert reason(make_dit()) == "a replay did not give what the step had given"


def test_what_is_not_finite_may_be_the_same():
    values = torch.tensor([float("nan"), float("inf"), 0.0])
    assert captured.are_same(values, values.clone())
    assert not captured.are_same(values, torch.tensor([float("nan"), float("inf"), -0.0]))
    assert not captured.are_same((values, 1), (values, 2))
    assert not captured.are_same(values, values.double())
    assert captured.are_same(torch.tensor(1 + 2j), torch.tensor(1 + 2j))
    assert not captured.are_same(torch.tensor(1 + 2j), torch.tensor(1 + 3j))


def test_an_output_whose_tensors_are_not_found(emulation, monkeypatch):
    model, forward = make_dit(), type(make_dit()).forward

    class Own:
        def __init__(self, sample):
            self.sample = sample

    def owning(self, hidden_states, timestep, class_labels):
        return Own(forward(self, hidden_states, timestep, class_labels).sample)

    monkeypatch.setattr(type(model), "forward", owning)
    assert reason(model) == (
        "the model's output is or holds a Own, which might change unseen: its tensors are not found"
    )


def test_an_interrupt_while_it_captures(emulation):
    model, begin = make_dit(), emulation.begin
    expected = eager(model)

    def interrupt():
        begin()
        raise KeyboardInterrupt

    emulation.begin = interrupt
    with cache(model, CONFIG, **options(STEPS)):
        with pytest.raises(KeyboardInterrupt):
            sample(model, STEPS)
        assert emulation.recorder is None
        del emulation.begin
        assert torch.equal(sample(model, STEPS), expected)
        assert summary(model).cached_step == "one CUDA graph"


def test_two_models_of_a_pipeline_say_it_once(emulation):
    model = make_dit()
    with cache(model, CONFIG, **options(STEPS)):
        sample(model, STEPS)
        one = summary(model)
    with cache(model, ClusCaConfig(**INTERVAL, cuda_graph=False), **options(STEPS)):
        sample(model, STEPS)
        two = summary(model)
    assert combine([one, one]).cached_step == "one CUDA graph"
    assert combine([one, two]).cached_step == "one CUDA graph; eager: cuda_graph=False"
    apart, unused = replace(one, full_by_sample=(3, 4)), replace(one, full_by_sample=())
    assert combine([apart, unused]).full_by_sample == (3, 4)  # the second was not called yet
    assert combine([apart, apart]).full_by_sample == (6, 8)
    assert cuda.backend_of(torch.device("cpu")) is emulation
