"""What is measured: the grid of shapes, and which implementations belong to a case."""

import pytest
import torch

import kmeans_variants
from clusca_ext.measuring import shapes
from clusca_ext.measuring import work as implementations
from clusca_ext.measuring.shapes import CLUSTERS, Case, cases
from clusca_ext.measuring.work import Work, names
from steps import steps

MODELS = {model.name: model for model in shapes.MODELS}
HALF, SINGLE = torch.bfloat16, torch.float32


@pytest.fixture
def on_gpu(monkeypatch):
    monkeypatch.setattr(shapes, "DEVICE", "cuda")


def case(**choices):
    return Case(MODELS["flux-1024"], **{"dtype": HALF, "device": shapes.DEVICE, **choices})


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
            for dtype in shapes.dtypes_of("cuda"):
                assert ((name, K, dtype) in found) == (N >= 4 * K), (name, K, dtype)


def test_a_case_knows_which_choice_is_not_the_first():
    found = {(each.K, each.metric): each.choice for each in cases(K=CLUSTERS, metric=("l2", "l1"))}
    assert found == {(16, "l2"): "", (64, "l2"): "K", (256, "l2"): "K", (16, "l1"): "metric"}


def test_a_cpu_measures_other_choices_in_detail_only():
    few = [each for each in cases(K=CLUSTERS) if each.K != 16]
    assert few and all(each.model.detailed for each in few)
    assert not [each for each in few if "batch" in each.model.name]


@pytest.mark.parametrize(
    "choices, compared",
    [
        ({}, True),
        ({"O": 1}, True),
        ({"O": 4, "choice": "O"}, False),
        ({"dtype": torch.int32}, True),
        ({"dtype": torch.float16}, False),
        ({"dtype": SINGLE}, False),
        ({"K": 64}, False),
        ({"K": 256}, False),
        ({"K": 256, "metric": "l2"}, True),
        ({"K": 256, "metric": "l2", "choice": "K"}, True),
        ({"metric": "l1", "choice": "metric"}, False),
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
        ({"metric": "l1", "choice": "metric"}, {"vector", "torch-graph"}),
        ({"K": 64}, {"vector", "matrix"}),
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
