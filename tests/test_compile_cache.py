"""The cache beside torch.compile: one graph per kind of step, none of them broken."""

import pytest
import torch
from torch._dynamo.utils import counters

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    EvenSchedule,
    IntervalSchedule,
    LeanStorage,
    NoCorrection,
    TaylorForecaster,
    cache,
    enable_cache,
)
from small_dit import make_dit, options, sample

STEPS = 20


class CountGraphs:
    """A backend that runs graphs as they are and counts them."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, inputs):
        self.graphs += 1
        return graph.forward


def compile_whole(model, backend):
    return torch.compile(model, backend=backend, fullgraph=True)


def compile_in_place(model, backend):
    model.compile(backend=backend, fullgraph=True)
    return model


def compile_blocks(model, backend):
    for block in model.transformer_blocks:
        block.compile(backend=backend, fullgraph=True)
    return model


CONFIGS = {
    "default": ClusCaConfig(),
    "paper": ClusCaConfig.paper("dit"),
    "uneven": ClusCaConfig(schedule=EvenSchedule(interval=7), forecaster=TaylorForecaster(order=2)),
    "no-correction": ClusCaConfig(corrector=NoCorrection()),
    "value": ClusCaConfig(corrector=ClusterCorrector(rule="value")),
    "window": ClusCaConfig(storage="lean"),
    "exact": ClusCaConfig(schedule=EvenSchedule(interval=7), storage=LeanStorage(basis="exact")),
    "gated": ClusCaConfig(storage=LeanStorage(basis="gated")),
    "lean-no-correction": ClusCaConfig(storage="lean", corrector=NoCorrection()),
}


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    counters.clear()


@pytest.mark.parametrize("name", CONFIGS)
def test_two_graphs_are_compiled(name):
    run_compiled(compile_whole, False, CONFIGS[name], graphs=2)


@pytest.mark.parametrize("name", ["default", "window"])
def test_fifty_steps_compile_no_more(name):
    run_compiled(compile_whole, False, CONFIGS[name], graphs=2, steps=50)


@pytest.mark.parametrize("before", [False, True], ids=["cached-first", "compiled-first"])
@pytest.mark.parametrize(
    "compile_it, graphs",
    [
        (compile_whole, 2),
        (compile_in_place, 2),
        (compile_blocks, 5),
    ],  # first and last of a segment differ
    ids=["whole", "in-place", "blocks"],
)
def test_whichever_came_first(compile_it, graphs, before):
    run_compiled(compile_it, before, ClusCaConfig(), graphs)


def run_compiled(compile_it, compiled_first, config, graphs, steps=STEPS):
    """Steps twice: equal to eager, no graph after the first of each kind, no graph break."""
    model, backend = make_dit(), CountGraphs()
    with cache(model, config, **options(steps)):
        expected = sample(model, steps)
    compiled = compile_it(model, backend) if compiled_first else model
    enable_cache(compiled, config, **options(steps))
    if not compiled_first:
        compiled = compile_it(model, backend)
    seen = []
    out = sample(
        WithParameters(compiled, model), steps, on_step=lambda _: seen.append(backend.graphs)
    )
    assert torch.equal(out, expected)
    assert seen[-1] == graphs
    kinds_seen = 1 + next(i for i, count in enumerate(seen) if count == graphs)
    assert seen[kinds_seen:] == [graphs] * (steps - kinds_seen)
    sample(WithParameters(compiled, model), steps)
    assert backend.graphs == graphs
    assert not counters["graph_break"]


class WithParameters:
    """A compiled model as the sampling loop takes it."""

    def __init__(self, compiled, model):
        self.compiled, self.parameters = compiled, model.parameters

    def __call__(self, *args, **kwargs):
        return self.compiled(*args, **kwargs)


def test_inductor_agrees():
    model = make_dit(layers=2)
    config = ClusCaConfig(schedule=IntervalSchedule(interval=3, warmup=1))
    with cache(model, config, **options(6)):
        expected = sample(model, 6)
        for block in model.transformer_blocks:
            block.compile(fullgraph=True)
        torch.testing.assert_close(sample(model, 6), expected, rtol=1e-4, atol=1e-4)
