"""Graphs beside torch.compile: the same compiled code, captured and replayed."""

import pytest
import torch
from torch._dynamo.utils import counters

from clusca_ext import ClusCaConfig, IntervalSchedule, cache, summary
from small_dit import make_dit, options, sample
from test_compile_cache import (
    CONFIGS,
    CountGraphs,
    WithParameters,
    compile_blocks,
    compile_in_place,
    compile_whole,
    fresh,  # noqa: F401
)

STEPS = 20
WAYS = pytest.mark.parametrize(
    "compile_it, compiled", [(compile_whole, 2), (compile_in_place, 2), (compile_blocks, 5)]
)


@WAYS
@pytest.mark.parametrize("first", [False, True], ids=["cached-first", "compiled-first"])
def test_no_more_is_compiled_than_without_graphs(compile_it, compiled, first, emulation):
    run(compile_it, compiled, ClusCaConfig(), emulation, first)


@pytest.mark.parametrize("name", sorted(set(CONFIGS) - {"default", "paper"}))
def test_configurations(name, emulation):
    run(compile_whole, 2, CONFIGS[name], emulation)


def run(compile_it, compiled, config, graphs, compiled_first=False):
    model, backend = make_dit(), CountGraphs()
    with cache(model, config, **options(STEPS)):
        expected = sample(model, STEPS)
        cached = summary(model).cached
    assert (graphs.captures, graphs.replays) == (1, cached - 1)
    graphs.recordings.clear()
    called = compile_it(model, backend) if compiled_first else model
    with cache(called, config, **options(STEPS)):
        if not compiled_first:
            called = compile_it(model, backend)
        for _ in range(2):
            out = sample(WithParameters(called, model), STEPS)
            assert torch.equal(out, expected)
            assert summary(model).cached_step == "one CUDA graph"
    assert (graphs.captures, graphs.replays) == (1, 2 * cached - 1)
    assert backend.graphs == compiled
    assert not counters["graph_break"]


def test_a_replay_stands_for_compiled_code_only_where_it_is_counted(emulation):
    """fullgraph=True refuses a call in which nothing was compiled; other calls are not counted."""
    model = make_dit()
    model.compile(backend="eager", fullgraph=True)
    config = ClusCaConfig(schedule=IntervalSchedule(interval=3, warmup=1))
    with cache(model, config, **options(6)):
        sample(model, 6)
    assert emulation.replays == 3
    counting = torch._C._dynamo.eval_frame.set_fullgraph_compiled_frame_count
    assert counting(-1) == -1
