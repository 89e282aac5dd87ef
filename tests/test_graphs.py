"""Cached steps as graphs: whole runs equal eager ones bit for bit, and little runs on the host."""

import pytest
import torch
from torch.utils._pytree import tree_map

from clusca_ext import (
    ClusCaConfig,
    ClusterCorrector,
    ExplicitSchedule,
    HermiteForecaster,
    IntervalSchedule,
    LeanStorage,
    NoCorrection,
    RandomPerLayer,
    cache,
    summary,
)
from clusca_ext.cache import Cache
from clusca_ext.executor import BlockExecutor
from clusca_ext.graphs.captured import CapturedStep
from clusca_ext.graphs.reads import Reads
from families_image import FLUX, IMAGES
from families_video import VIDEOS
from graph_emulation import storage
from small_dit import make_dit, options, sample
from test_branches import draw, wan_pipeline
from test_families import TIMES

GRAPH = "one CUDA graph"
CONFIGS = {
    "default": {},
    "none": {"corrector": NoCorrection()},
    "value": {"corrector": ClusterCorrector(rule="value")},
    "per-layer": {"corrector": ClusterCorrector(selection=RandomPerLayer())},
    "interval": {"schedule": IntervalSchedule(interval=4), "forecaster": HermiteForecaster()},
    "lean": {"storage": "lean"},
    "lean, none": {"storage": "lean", "corrector": NoCorrection()},
    "lean, hermite": {"storage": "lean", "forecaster": HermiteForecaster()},
}
FEW = {
    "schedule": ExplicitSchedule(steps=(0, 2, 5)),
    "corrector": ClusterCorrector(num_clusters=8),
}


def assert_graphs(graphs, cached, device, kinds=1):
    """Every cached step was captured or replayed, and few were captured."""
    assert graphs.captures + graphs.replays == cached
    if device == "cpu":
        assert graphs.captures == kinds
    else:  # a plan is trusted when the device has told so: first steps may be without it
        assert 0 < graphs.captures <= 3 * kinds


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("name", CONFIGS)
def test_runs_equal_eager_ones(name, known, graphs, device):
    model, told = make_dit(device), options() if known else {"cfg_rows": ("cond", "uncond")}
    with cache(model, ClusCaConfig(**CONFIGS[name], cuda_graph=False), **told):
        expected = sample(model)
        assert graphs.captures == 0
    with cache(model, ClusCaConfig(**CONFIGS[name]), **told):
        for run in (1, 2, 3):
            assert torch.equal(sample(model), expected)
            assert summary(model).cached_step == GRAPH
            assert_graphs(graphs, run * summary(model).cached, device)


@pytest.mark.parametrize("corrector", [NoCorrection(), ClusterCorrector(num_clusters=8)])
def test_a_sum_for_every_step(corrector, graphs, device):
    """They lie where they are: weights say which of them is the step's."""
    model, how = make_dit(device), {"corrector": corrector, "storage": LeanStorage(basis="exact")}
    with cache(model, ClusCaConfig(**how, cuda_graph=False), **options()):
        expected = sample(model)
    with cache(model, ClusCaConfig(**how), **options()):
        for run in (1, 2):
            assert torch.equal(sample(model), expected)
            assert_graphs(graphs, run * summary(model).cached, device)


@torch.no_grad()
def run(family, model, device="cpu", times=TIMES, **more):
    """As test_families.run, on a device."""
    outputs = []
    for step, timestep in enumerate(times):
        noise = torch.randn(family.noise, generator=torch.Generator().manual_seed(step))
        inputs = tree_map(
            lambda value: value.to(device) if isinstance(value, torch.Tensor) else value,
            family.inputs(noise, timestep),
        )
        output = model(**inputs, **more, return_dict=False)[0]
        outputs.append(torch.stack(output) if isinstance(output, list) else output)
    return outputs


def same(got, expected):
    return all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("corrector", [NoCorrection(), ClusterCorrector(num_clusters=8)])
def test_flux(corrector, known, graphs, device):
    model, told = FLUX.make().to(device), {"timesteps": TIMES if known else None}
    how = {"schedule": FEW["schedule"], "corrector": corrector}
    with cache(model, ClusCaConfig(**how, cuda_graph=False), **told):
        expected = run(FLUX, model, device)
    with cache(model, ClusCaConfig(**how), **told):
        for count in (1, 2):
            got = run(FLUX, model, device)  # all at once: later steps leave their outputs alone
            assert same(got, expected)
            assert_graphs(graphs, 5 * count, device)


READS_ON_HOST = ("HunyuanVideo15", "HunyuanVideoFramepack")
HAS_TABLES = ("QwenImage", "ZImage", "HunyuanVideoTransformer3DModel")  # of positions, constants


@pytest.mark.parametrize("where", ["per_block", "lean"])
@pytest.mark.parametrize("family", IMAGES + VIDEOS, ids=str)
def test_families(family, where, emulation):
    """A graph reads copies, weights and what is cached, and nothing that might go away."""
    model, how = family.make(), {**FEW, "storage": where}
    with cache(model, ClusCaConfig(**how, cuda_graph=False), timesteps=TIMES):
        expected = run(family, model)
    with cache(model, ClusCaConfig(**how), timesteps=TIMES):
        for _ in range(2):
            assert same(run(family, model), expected)
        says, held = summary(model).cached_step, Cache.of(model)
        if family.name.startswith(READS_ON_HOST):
            assert "capture failed" in says and "_local_scalar_dense" in says
            assert emulation.captures == 0
            return
        assert says == GRAPH
        assert (emulation.captures, emulation.replays) == (1, 9)
        known = [*model.parameters(), *model.buffers()]
        features = (module.feature for module in held.modules.values())
        known += [each.factors for each in features if each.factors is not None]
        if where == "lean":
            known += [sums.kept for groups in held.branch.storage._sums for sums in groups]
        else:
            known += [sums._rows for sums in held.branch.storage.ahead._sums.values()]
        for graph in held.graphs._graphs.values():
            assert isinstance(graph, CapturedStep)
            known += graph.copies.tensors
        read = set(emulation.recordings[0].recorder.read) - set(map(storage, known))
        assert not read or family.name.startswith(HAS_TABLES)


def test_branches_of_a_pipeline(emulation):
    """Each has a graph of its own, which the next call finds again."""
    pipe = wan_pipeline()
    with cache(pipe, ClusCaConfig(**FEW, cuda_graph=False)):
        expected = draw(pipe)
        alone = draw(pipe, guidance=1.0)
    with cache(pipe, ClusCaConfig(**FEW)):
        for count in (1, 2, 3):
            assert torch.equal(draw(pipe), expected)
            cached = count * 2 * summary(pipe).cached
            assert (emulation.captures, emulation.replays) == (2, cached - 2)
        assert torch.equal(draw(pipe, guidance=1.0), alone)
        assert torch.equal(draw(pipe), expected)


def test_blocks_do_not_run_on_replayed_steps(graphs, device, monkeypatch):
    model, calls, forward = make_dit(device), [], BlockExecutor.forward

    def counting(block, *args, **kwargs):
        if block.substituted:
            calls.append(block)
        return forward(block, *args, **kwargs)

    monkeypatch.setattr(BlockExecutor, "forward", counting)
    with cache(model, ClusCaConfig(), **options(20)):
        sample(model, 20)
    assert len(calls) == 2 * 3 * graphs.captures  # eagerly, then captured; of three blocks


def test_what_a_step_leaves_behind_is_not_held(emulation):
    """Neither that step which was captured, nor copies in place of what executors were given."""
    model = make_dit()
    with cache(model, ClusCaConfig(), **options()):
        sample(model)
        held = Cache.of(model)
        own = {storage(each) for each in emulation.recordings[0].recorder.own.values()}
        own |= {storage(t) for graph in held.graphs._graphs.values() for t in graph.copies.tensors}
        reads = Reads(held._fitting.installed)
        tensors = [each for group in reads.groups for each in group]
        for segment in held._fitting.installed.segments:
            assert segment._offset is segment._learnt is segment.sums is None
        assert not own & set(map(storage, tensors))
        assert all(module.gate is None for module in held.modules.values())


GROUPS = ("planned", "representatives", "places", "weights", "segment", "track", "cluster_ids")
OF_DIT = [group for group, name in enumerate(GROUPS) if name != "track"]


@pytest.mark.parametrize("group", OF_DIT, ids=GROUPS.__getitem__)
def test_every_group_of_tensors_is_needed(group, emulation, monkeypatch):
    """Without one a graph goes on with what its first step was given."""
    from clusca_ext.graphs import reads

    model, slots = make_dit(), reads._slots
    how = {
        "weights": {"corrector": ClusterCorrector(rule="value")},
        "places": {"storage": "lean"},
    }.get(GROUPS[group], {})
    with cache(model, ClusCaConfig(**how, cuda_graph=False), **options()):
        expected = sample(model)
    monkeypatch.setattr(
        reads, "_slots", lambda i: [[] if n == group else g for n, g in enumerate(slots(i))]
    )
    with cache(model, ClusCaConfig(**how), **options()):
        assert not torch.equal(sample(model), expected)
        assert emulation.captures == 1
