"""bench/loop.py and its methods: rows can be set beside each other, and are what they say."""

import contextlib

import pytest
import torch

from clusca_ext import ClusCaConfig, EvenSchedule, plan
from clusca_ext.cache import Cache
from clusca_ext.measuring.models import MODELS
from device_time import graphed
from end_to_end import measure, of_device
from loop import Loop
from loop_rows import rows_of
from methods import clusca
from peer_methods import taylorseer
from results import NotMeasured

STEPS = 12
NAMES = ("tiny", "tiny-dit", "tiny-hunyuan", "tiny-wan")
CONFIG = ClusCaConfig(schedule=EvenSchedule(interval=6))


@pytest.fixture(scope="module")
def loops():
    return {name: Loop(MODELS[name], "cpu", torch.float32) for name in NAMES}


def rows(name, interval=6):
    """All but cache-dit's, which is no dependency."""
    every = rows_of(MODELS[name], interval, STEPS, compiles=False)
    return [row for row in every if not row.is_last]


def called(name, interval=6):
    return {row.name: row for row in rows(name, interval)}


# ---- plans


def linears(model):
    blocks = [*model.transformer_blocks, *getattr(model, "single_transformer_blocks", [])]
    return [getattr(block, "norm1", None) or block.norm for block in blocks]


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES[:3])
def test_modulation_is_planned(name, dtype, on_device, monkeypatch):
    """The models are given what is announced, rounded as pipelines round it."""
    if on_device:
        monkeypatch.setattr(plan, "is_free", lambda tensor: False)
    loop = Loop(MODELS[name], "cpu", dtype)
    calls, norms = [], linears(loop.model)
    for norm in norms:
        norm.linear.register_forward_hook(lambda *_: calls.append(1))
    with clusca(CONFIG)(loop, STEPS) as said:
        loop.run(STEPS)
        cached = STEPS - len(loop.full)
        assert said()["planned"] == cached > 0
    # beside full steps: a first piece of one step, then the rest
    assert len(calls) == (len(loop.full) + 2) * len(norms)


def test_modulation_without_layers_in_blocks_is_planned(loops):
    with clusca(CONFIG)(loops["tiny-wan"], STEPS) as said:
        loops["tiny-wan"].run(STEPS)
        assert said()["planned"] == STEPS - len(loops["tiny-wan"].full) > 0


def test_an_unplanned_run_is_noticed(loops, monkeypatch):
    loop, row = loops["tiny"], called("tiny")["clusca"]
    assert "doubt" not in measure(loop, row, 1)
    given = loop.given
    monkeypatch.setattr(loop, "given", lambda timestep: given(timestep) + 1e-3)
    measured = measure(loop, row, 1)
    assert measured["failed"] and "planned for 0 of 8" in measured["doubt"]
    measured = measure(loop, called("tiny")["clusca, lean, forecast only"], 1)
    assert measured["failed"] and measured["doubt"].startswith("no window of gates that are known")


# ---- runs


@pytest.mark.parametrize("name", NAMES)
def test_every_run_begins_anew(name, loops):
    """Also after one that was broken off; full steps are those of the row."""
    loop, measured = loops[name], 0
    for row in rows(name):
        with contextlib.suppress(NotMeasured), row.method(loop, row.steps):
            results = []
            for _ in range(2):
                torch.manual_seed(0)  # the paper's representatives
                loop.run(row.steps)
                results.append(loop.result)
                assert loop.full == row.full, row.name
                loop.run(row.steps, until=row.steady + 1)
            assert torch.equal(*results), row.name
            measured += 1
    # TaylorSeer knows no modules of DiT's, by default none of Wan's; the paper has no Wan.
    assert measured == len(rows(name)) - {"tiny-dit": 2, "tiny-wan": 3}.get(name, 0)
    loop.run(STEPS)
    assert len(loop.full) == STEPS and loop.begin is None  # nothing is left of them


def test_a_state_that_stays_is_seen(loops):
    """What the test above would see if diffusers' hooks were not reset."""
    loop, row = loops["tiny"], called("tiny", 5)["diffusers, TaylorSeer"]
    with row.method(loop, STEPS):
        loop.run(STEPS)
        first, loop.begin = loop.result, None
        loop.run(STEPS)
    assert not torch.equal(loop.result, first) and loop.full != row.full


def test_what_diffusers_taylorseer_computes_of_a_cached_step(loops):
    """As it comes, the MLPs; of every module or in lite mode, nothing."""
    loop, seen = loops["tiny"], []
    inner = loop.model.transformer_blocks[0].ff.net[0]
    handle = inner.register_forward_pre_hook(lambda *_: seen.append(loop.step))
    for name, expected in {"": STEPS, " lite": 4, ", every module": 4}.items():
        seen.clear()
        with called("tiny")[f"diffusers, TaylorSeer{name}"].method(loop, STEPS):
            loop.run(STEPS)
        assert len(seen) == expected, name
    handle.remove()


def test_what_diffusers_cannot_cache_says_so(loops):
    for choices, why in (({}, "none of its modules"), ({"use_lite_mode": True}, "proj_out")):
        with (
            pytest.raises(NotMeasured, match=why),
            taylorseer(2, 5, **choices)(loops["tiny-dit"], 8),
        ):
            pass


def test_guidance_shares_clusters_as_in_the_pipeline(loops):
    loop = loops["tiny-dit"]
    assert loop.inputs["class_labels"].tolist() == [0, 1000]
    with clusca(CONFIG)(loop, STEPS):
        loop.run(STEPS)
        ids = Cache.of(loop.model).clusters.row_ids
        assert len(ids) == 2 and torch.equal(ids[0], ids[1])


# ---- a step in a CUDA graph, as far as it can be tried without one


class Recorded:
    def __init__(self, **_):
        self.replays = 0

    def replay(self):
        self.replays += 1

    record = synchronize = lambda self: None
    elapsed_time = lambda self, other: 40.0  # noqa: E731


@pytest.mark.parametrize(
    "name", ["clusca", "clusca, lean", "the paper's, torch", "diffusers, TaylorSeer"]
)
def test_a_step_is_captured_once_between_its_hooks(name, loops, monkeypatch):
    for part in ("CUDAGraph", "Event"):
        monkeypatch.setattr(torch.cuda, part, Recorded)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: contextlib.nullcontext(graph))
    loop, row, measured = loops["tiny"], called("tiny")[name], {}
    with row.method(loop, STEPS):
        torch.manual_seed(0)
        loop.run(STEPS)
        expected = loop.result
        torch.manual_seed(0)
        loop.run(STEPS, at=[row.steady], how=lambda: graphed(loop, measured))
    assert torch.equal(loop.result, expected) and loop.full == row.full
    assert measured == {"cached_graph_ms": 2.0}
    assert "forward" not in vars(loop.model)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there a capture may succeed")
def test_a_step_that_cannot_be_captured_says_why_and_leaves_nothing(loops):
    loop, row = loops["tiny"], called("tiny")["clusca"]
    with row.method(loop, STEPS):
        loop.run(STEPS)
        expected = loop.result
        assert "Error: " in of_device(loop, row)["no_graph"]
        loop.run(STEPS)
    assert torch.equal(loop.result, expected) and "forward" not in vars(loop.model)
    asking = called("tiny")["diffusers, FirstBlockCache, steps given"]
    with asking.method(loop, STEPS):
        assert of_device(loop, asking)["no_graph"] == "it asks the host at every step"
