"""Every family with compiled blocks: no graph break, and no graph after the first of each kind."""

import pytest
import torch
from torch._dynamo.utils import counters

from clusca_ext import ClusCaConfig, ClusterCorrector, ExplicitSchedule, cache
from clusca_ext.adapters import describe
from families_image import IMAGES
from families_video import VIDEOS
from test_compile_cache import CountGraphs
from test_families import TIMES, run

FULL = (0, 2, 5)
CONFIG = ClusCaConfig(
    schedule=ExplicitSchedule(steps=FULL), corrector=ClusterCorrector(num_clusters=8)
)


CACHED_FIRST = ("FluxTransformer2DModel", "WanTransformer3DModel")  # the order is not a family's
CASES = [(family, True) for family in IMAGES + VIDEOS]
CASES += [(family, False) for family, _ in CASES if family.name in CACHED_FIRST]


@pytest.mark.parametrize("family, before", CASES, ids=str)
def test_compiled_blocks(family, before):
    torch._dynamo.reset()
    counters.clear()
    model, backend = family.make(), CountGraphs()
    with cache(model, CONFIG, timesteps=TIMES):
        expected = run(family, model)

    def compile_blocks():
        for block in describe(model).blocks:
            block.block.compile(backend=backend, fullgraph=True)

    graphs = []
    if before:
        compile_blocks()
    with cache(model, CONFIG, timesteps=TIMES):
        if not before:
            compile_blocks()
        got = run(family, model, on_step=lambda _: graphs.append(backend.graphs))
        graphs.append(backend.graphs)
        run(family, model)
        assert backend.graphs == graphs[-1]
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    assert 0 < graphs[1] < graphs[2]  # of the first full step, and of the first cached one
    assert set(graphs[2:]) == {graphs[2]}
    assert not counters["graph_break"]


BREAK_BY_THEMSELVES = ("ZImage", "HunyuanVideo15")
# One of each class: of its variants, the blocks are compiled above.
WHOLE = [
    family
    for family in IMAGES + VIDEOS
    if "-" not in family.name and not any(name in family.name for name in BREAK_BY_THEMSELVES)
]


@pytest.mark.parametrize("family", WHOLE, ids=str)
def test_compiled_whole(family):
    """Two graphs, neither of them broken: of a full step, and of a cached one."""
    torch._dynamo.reset()
    counters.clear()
    model, backend, graphs = family.make(), CountGraphs(), []
    with cache(model, CONFIG, timesteps=TIMES):
        expected = run(family, model)
        model.compile(backend=backend, fullgraph=True)
        got = run(family, model, on_step=lambda _: graphs.append(backend.graphs))
    assert graphs == [0, 1, 2, 2, 2, 2, 2, 2] and backend.graphs == 2
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    assert not counters["graph_break"]
