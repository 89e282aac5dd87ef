"""Which implementations a case is measured with, and what a peer that is not there leaves."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

import implementations
import kmeans_variants
import peers_flash
import shapes
from clusca_ext import ops
from implementations import Work, names, same_answer
from results import NotMeasured, read
from shapes import CLUSTERS, Case, cases
from steps import steps

MODELS = {model.name: model for model in shapes.MODELS}
HALF, SINGLE = torch.bfloat16, torch.float32


@pytest.fixture
def on_gpu(monkeypatch):
    for module in (shapes, implementations, kmeans_variants):
        monkeypatch.setattr(module, "DEVICE", "cuda")


def case(**choices):
    return Case(MODELS["flux-1024"], **{"dtype": HALF, **choices})


def variants_of(case):
    return kmeans_variants.variants_of(case, *(len for _ in range(4)))


# ---- the grid


def test_a_gpu_measures_the_shapes_of_the_issue(on_gpu):
    found = {(each.model.name, each.K, each.dtype) for each in cases(K=CLUSTERS)}
    sizes = {
        (f"dit-xl-{size}{batch}", B, N, 1152)
        for size, N in ((256, 256), (512, 1024))
        for batch, B in (("", 2), ("-batch", 32))
    }
    sizes |= {
        ("flux-1024", 1, 4096, 3072),
        ("hunyuan-480p-65", 1, 20400, 3072),
        ("hunyuan-720p-129", 1, 118800, 3072),
        ("wan-14b-720p-81", 1, 75600, 5120),
    }
    for name, B, N, D in sizes:
        model = MODELS[name]
        assert (model.B, model.N, model.D) == (B, N, D)
        for K in (16, 64, 256):
            for dtype in shapes.DTYPES:
                assert ((name, K, dtype) in found) == (N >= 4 * K), (name, K, dtype)


def test_a_cpu_measures_other_choices_in_detail_only():
    few = [each for each in cases(K=CLUSTERS) if each.K != 16]
    assert few and all(each.model.detailed for each in few)
    assert not [each for each in few if "batch" in each.model.name]


@pytest.mark.parametrize(
    "choices, compared",
    [
        ({}, True),
        ({"O": 4}, True),
        ({"dtype": torch.int32}, True),
        ({"dtype": torch.float16}, False),
        ({"dtype": SINGLE}, False),
        ({"K": 64}, False),
        ({"K": 256}, False),
        ({"K": 256, "metric": "l2"}, True),
        ({"K": 64, "metric": "l2"}, False),
        ({"K": 256, "metric": "l2", "dtype": SINGLE}, False),
    ],
)
def test_where_compiled_peers_belong_on_a_gpu(on_gpu, choices, compared):
    each = case(**choices)
    assert each.compared == compared
    assert {"clusca", "torch", "copy"} <= set(names(each, ()))
    assert ({"compile", "graph"} <= set(names(each, ()))) == compared


def test_a_cpu_compiles_every_dtype():
    assert case(dtype=SINGLE).compared and not case(K=64).compared
    assert names(case(dtype=SINGLE), ()) == ["clusca", "torch", "compile", "copy"]


def test_a_roof_of_products_stands_over_distances(on_gpu):
    assert "gemm" in names(case(metric="l2"), ())
    assert "gemm" not in names(case(metric="l1"), ())
    assert "gemm" not in names(case(), ())


def test_the_grid_comes_last():
    listed = steps(False)
    assert listed[-1].name == "bench_grid" and listed[-1].command[-2:] == ("-m", "not compared")
    ops = [step for step in listed[:-1] if step.name.startswith("bench_")]
    assert ops and all(step.command[-2:] == ("-m", "compared") for step in ops)


# ---- more implementations


@pytest.mark.parametrize(
    "choices, expected",
    [
        ({}, {"vector", "matrix", "cluster", "torch-graph", "flash", "flash-graph"}),
        ({"dtype": torch.float16}, {"vector", "matrix", "cluster"}),
        ({"dtype": SINGLE}, {"vector"}),
        ({"metric": "l1"}, {"vector", "torch-graph"}),
        ({"K": 64}, {"vector", "matrix", "cluster"}),
    ],
)
def test_what_else_k_means_is_measured_with(on_gpu, choices, expected):
    assert set(variants_of(case(**{"metric": "l2", **choices}))) == expected


def test_a_cpu_has_no_variants():
    assert variants_of(case(metric="l2")) == {}


def work(**fields):
    return Work(lambda x: x + 1, lambda x: 1 + x, (torch.zeros(8),), 32, **fields)


def test_a_variant_is_called_and_must_agree():
    called = []

    def right(x):
        called.append("right")
        return x + 1

    variants = {"right": right, "wrong": lambda x: x + 2, "silent": lambda x: (None,)}
    each = work(variants=variants)
    assert torch.equal(each.call("right", None)(), torch.ones(8)) and called
    each.call("silent", None)
    with pytest.raises(AssertionError, match="differs by"):
        each.call("wrong", None)


def test_what_ends_in_graph_is_graphed(monkeypatch):
    monkeypatch.setattr(implementations, "graphed", lambda call: "a replay")
    assert work(variants={"torch-graph": lambda x: x + 1}).call("torch-graph", None) == "a replay"


# ---- flash-kmeans


class StandIn(types.ModuleType):
    """What is called of the package, in plain torch."""

    @staticmethod
    def euclid_assign_triton(x, centroids, x_sq):
        assert x.dtype == centroids.dtype and x_sq.shape == x.shape[:2]
        return torch.cdist(x.float(), centroids.float()).argmin(-1).int()

    @staticmethod
    def triton_centroid_update_sorted_euclid(
        x, cluster_ids, old_centroids, *, centroid_sums, centroid_cnts, calculate_new
    ):
        sums, counts = peers_flash.cluster_sums_by_product(x, cluster_ids, old_centroids.shape[1])
        centroid_sums += sums
        centroid_cnts += counts

    @staticmethod
    def batch_kmeans_Euclid(x, n_clusters, max_iters, tol, init_centroids):
        assert init_centroids.dtype == x.dtype and init_centroids.shape[1] == n_clusters
        ids, _, centroids, *_ = ops.kmeans_fit(x, init_centroids, "l2", max_iters, tol)
        return ids, centroids, max_iters


def test_flash_kmeans_does_what_ours_do(monkeypatch):
    for name in ("flash_kmeans", "flash_kmeans.assign_euclid_triton"):
        monkeypatch.setitem(sys.modules, name, StandIn(name))
    tokens, start = torch.randn(2, 64, 8), torch.randn(2, 4, 8)
    same_answer(ops.kmeans_assign, peers_flash.assign, (tokens, start, "l2"))
    for step in (peers_flash.step, peers_flash.step_by_product):
        same_answer(ops.kmeans_step, step, (tokens, start, "l2"))
    for fit in (peers_flash.fit, peers_flash.fit_by_product):
        same_answer(lambda *args: ops.kmeans_fit(*args)[:3], fit, (tokens, start, "l2", 20))


def test_a_peer_that_is_not_installed_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_kmeans", None)
    args = torch.zeros(1, 8, 4), torch.zeros(1, 2, 4), "l2"
    for function in (peers_flash.assign, peers_flash.step, peers_flash.step_by_product):
        with pytest.raises(NotMeasured, match="^not installed$"):
            function(*args)
    for function in (peers_flash.fit, peers_flash.fit_by_product):
        with pytest.raises(NotMeasured, match="^not installed$"):
            function(*args, 2)


def test_what_a_peer_refuses_is_its_note(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_kmeans", StandIn("flash_kmeans"))

    @peers_flash.peer
    def refuses():
        raise ValueError("D must be\n  smaller")

    with pytest.raises(NotMeasured, match="^flash_kmeans: ValueError: D must be smaller$"):
        refuses()


STAND_IN = """
import torch
from results import NotMeasured
from shapes import Case, MODELS

CASES = [Case(MODELS[-1], torch.float32)]

def variants(case):
    return {"absent": absent, "present": torch.neg}

def absent(x):
    raise NotMeasured("not installed")

def bench_stand_in(measure, case):
    measure(torch.neg, torch.neg, (torch.ones(8),), bytes_moved=64, variants=variants(case))
"""


def test_the_note_is_a_row(tmp_path):
    folder = Path(implementations.__file__).parent
    for name in ("conftest.py", "pytest.ini"):
        (tmp_path / name).write_text((folder / name).read_text())
    (tmp_path / "bench_stand_in.py").write_text(STAND_IN)
    rows = tmp_path / "rows.json"
    command = [sys.executable, "-m", "pytest", "bench_stand_in.py", "--quick", f"--results={rows}"]
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, "-k", "not compile"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    found = {row["impl"]: row for row in read(rows)}
    assert set(found) == {"clusca", "torch", "copy", "present", "absent"}
    assert found["absent"]["note"] == "not installed" and "median_us" not in found["absent"]
    assert found["present"]["median_us"] > 0
