"""bench/loop_rows.py and end_to_end.py: what belongs to a model, and what is recorded of it."""

import argparse
import contextlib

import pytest
import torch

import end_to_end
from clusca_ext import ClusCaConfig
from clusca_ext.cache import Cache
from clusca_ext.measuring.models import MODELS
from end_to_end import composed, doubts, expected, measure, outcome, table
from loop import Loop
from loop_rows import OF_EVERY_MODULE, Row, baseline, composed_rows, rows_of
from methods import no_cache

STEPS = 12
REAL = [name for name in MODELS if not name.startswith("tiny")]


@pytest.fixture(scope="module")
def wan():
    """In bfloat16, save what diffusers keeps in float32."""
    return Loop(MODELS["tiny-wan"], "cpu", torch.bfloat16)


@pytest.fixture(scope="module")
def dit():
    return Loop(MODELS["tiny-dit"], "cpu", torch.float32)


def rows_of_wan():
    return [row for row in rows_of(MODELS["tiny-wan"], 6, STEPS, compiles=False) if not row.is_last]


# ---- rows of a model


@pytest.mark.parametrize("interval", [4, 5, 6, 7])
@pytest.mark.parametrize("name", REAL)
def test_rows_have_equally_many_full_steps(name, interval):
    every = list(rows_of(MODELS[name], interval, 50, compiles=True))
    assert {len(row.full) for row in every} == {{4: 14, 5: 12, 6: 10, 7: 9}[interval]}
    assert len({row.full for row in every if "clusca" in row.name and "paper" not in row.name}) == 1
    composed = composed_rows(MODELS[name])
    assert all(len(row.full) == 3 and row.steps == 8 for row in composed)
    for row in every:  # a short warm-up sees what comes
        kinds = [step in row.full for step in range(row.warmup)]
        assert kinds.count(True) >= 2 and (not row.cached or kinds[-3:].count(False) >= 2)


@pytest.mark.parametrize("name", REAL)
def test_every_storage_has_a_row(name):
    storages = {
        row.name: row.config.storage for row in rows_of(MODELS[name], 6, 50, False) if row.config
    }
    bases = {getattr(storage, "basis", storage) for storage in storages.values()}
    shared = {"shared-emb"} if "wan" in name else set()
    assert bases == {"per_block", "auto", "exact", "gated", *shared}
    assert any(getattr(storage, "offload", False) for storage in storages.values())


def test_what_needs_most_memory_comes_last():
    for name in ("hunyuan-720p129", "wan-14b-720p81"):
        names = [row.name for row in composed_rows(MODELS[name]) if not row.is_last]
        lean = [place for place, each in enumerate(names) if "lean" in each or "lite" in each]
        hungry = [names.index(each) for each in OF_EVERY_MODULE]
        assert lean[0] == 0 and max(lean) < min(hungry)


def test_rows_that_a_model_cannot_have_say_why(wan):
    called = {row.name: row for row in rows_of_wan()}
    for name, why in {
        "clusca, the paper's": "ClusCaConfig.paper has no settings for WanTransformer3DModel",
        "the paper's, torch": "ClusCaConfig.paper has no settings for WanTransformer3DModel",
        "diffusers, TaylorSeer": "diffusers' TaylorSeer finds none of its modules",
    }.items():
        measured = outcome(wan, called[name], 1)
        assert measured["note"].startswith(f"not measured: {why}") and "failed" not in measured


# ---- what is recorded


def test_other_full_steps_are_noticed(dit):
    row = Row("wrong", 3, no_cache, frozenset({0, 1}))
    assert "full steps" in measure(dit, row, 1)["doubt"]
    assert not doubts(baseline(3), frozenset(range(3)), {})


@contextlib.contextmanager
def too_large(loop, steps):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1 GiB")
    yield


def test_what_does_not_fit_says_so_and_the_others_are_measured(monkeypatch):
    large = Row("large", 8, too_large, frozenset({0}), config=ClusCaConfig())
    every = [(None, baseline(3)), (None, large)]
    every += [(None, row) for row in composed_rows(MODELS["tiny-composed"])]
    monkeypatch.setattr(end_to_end, "rows", lambda *_: every)
    recorded = []
    options = argparse.Namespace(intervals=[6, 5], steps=50, repeats=1, rows=["large", "exact"])
    assert table("tiny-composed", options, lambda **row: recorded.append(row))
    exact = "clusca, lean exact, forecast only"
    assert [row["impl"] for row in recorded] == ["no cache", *["large"] * 2, *[exact] * 2]
    note = "does not fit: CUDA out of memory. Tried to allocate 2.00 GiB"
    assert [row["note"] for row in recorded[1:3]] == [note] * 2
    assert all("estimated_gib" in row and "speedup" not in row for row in recorded[1:3])
    assert [(row["full"], row["cached"]) for row in recorded[3:]] == [(10, 40), (12, 38)]
    assert recorded[-1]["shape"].endswith(", 50 steps, interval 5")
    assert all("speedup" in row and "composed_of" in row for row in (recorded[0], *recorded[3:]))
    base, at_6, at_5 = recorded[0], *recorded[3:]
    assert at_6["full_overhead"] == pytest.approx(at_6["full_ms"] / base["full_ms"] - 1, abs=1e-3)
    assert at_6["counted_speedup"] > at_5["counted_speedup"] > 1 and "full_overhead" not in base


def test_what_ours_should_take_is_recorded(wan):
    """The bytes a run takes, also where the model's first parameter is not of the stream's type."""
    assert next(wan.model.parameters()).dtype == torch.float32
    for row in rows_of_wan():
        if row.config is None:
            continue
        with row.method(wan, row.steps):
            wan.run(row.steps)
            kept = Cache.of(wan.model).branch.storage.bytes()
        found = expected(wan, "tiny-wan", row, {})
        estimated = found["estimated_gib"] + found.get("estimated_host_gib", 0)
        assert estimated * 2**30 == pytest.approx(kept, rel=0.02, abs=2048), row.name


def test_a_loop_is_composed_of_its_steps():
    measured = {"seconds": 1.0, "full": 3, "cached": 5, "full_ms": 100.0, "cached_ms": 10.0}
    made = composed(measured, next(rows_of(MODELS["tiny"], 6, 50, compiles=False)))
    assert made["seconds"] == pytest.approx(10 * 0.1 + 40 * 0.01)
    assert made["composed_of"] == "3 full and 5 cached steps" and made["full"] == 10


def test_a_method_that_breaks_fails_its_row_only(dit):
    def broken(loop, steps):
        raise RuntimeError("broken")

    measured = outcome(dit, Row("broken", 3, broken, frozenset()), 1)
    assert measured == {"note": "not measured: RuntimeError: broken", "failed": True}
