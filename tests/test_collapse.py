"""Many modules in one pass do what each of them does by itself, one after the other."""

import pytest
import torch

from clusca_ext import ops, reference
from cluster_cases import represents, rows_at
from collapse_cases import make_inputs, make_modules
from inputs import applied, by_dtype, make_clusters, make_untrusted_clusters, make_whole
from residual_cases import by_mixed_dtype

B, N, K, D, MODULES = 2, 33, 4, 40, 6
GAMMA, DISTANCE = 0.3, 2.0
MOST = 76  # modules one launch takes: kMaxModules of csrc/kernels/collapsed_residual.h
by_gate_of_all_tokens = pytest.mark.parametrize("gate", ["none", "[B,D]", "[B,1,D]", "expanded"])


def make_run(gate, factors_dtype, device, dtype=torch.float32):
    """A stream, its modules, and what every second of them computed at the representatives."""
    x = torch.randn(B, N, D, dtype=dtype, device=device)
    factors, gates = make_modules(MODULES, B, N, D, factors_dtype, device, 3, gate, torch.float32)
    features = torch.randn(MODULES, B, K, D, dtype=factors_dtype, device=device)
    return x, factors, gates, [None if m % 2 else feature for m, feature in enumerate(features)]


def one_by_one(x, factors, gates, computed, clusters):
    x = x.clone()
    for of_module, gate, feature in zip(factors, gates, computed, strict=True):
        if feature is None:
            ops.forecast_residual_(x, of_module, gate, DISTANCE)
        else:
            args = feature, *clusters, gate, GAMMA, DISTANCE, "delta"
            ops.propagate_residual_(x, of_module, *args)
    return x


def in_one_pass(x, factors, gates, computed, clusters):
    """The stream after all modules, and what has been added to the representatives."""
    offset, correction = torch.zeros(2, B, K, D, device=x.device)
    for of_module, gate, feature in zip(factors, gates, computed, strict=True):
        args = of_module, clusters[0], gate, feature, DISTANCE
        ops.carry_representatives_(offset, correction, *args)
    return ops.collapsed_residual(x, factors, gates, DISTANCE, correction, *clusters, GAMMA), offset


# Other sums of some twenty products: off by a few 2^-24 of the largest partial sum, some 100.
CLOSE = {"atol": 5e-5, "rtol": 1e-5}


@by_dtype
@by_gate_of_all_tokens
@pytest.mark.parametrize("clusters_of", [make_clusters, make_untrusted_clusters])
def test_one_pass_is_the_delta_rule_module_by_module(clusters_of, gate, dtype, device):
    """Of every token, in empty clusters and in none too."""
    clusters = clusters_of(B, N, K, device)
    run = make_run(gate, dtype, device)
    ours, _ = in_one_pass(*run, clusters)
    torch.testing.assert_close(ours, one_by_one(*run, clusters), **CLOSE)


@by_dtype
@pytest.mark.parametrize("gate", ["[B,D]", "[B,N,D]"])
def test_representatives_see_every_module_before_its_stream_does(gate, dtype, device):
    """They may be gated token by token: their correction is by the gate of their own token."""
    clusters = make_clusters(B, N, K, device)
    run = make_run(gate, dtype, device)
    passed, offset = in_one_pass(*run, clusters)
    expected = rows_at(one_by_one(*run, clusters), clusters[0])
    rows, _ = ops.gather_representatives(run[0], clusters[0], norm="none", offset=offset)
    torch.testing.assert_close(rows, expected, **CLOSE)
    torch.testing.assert_close(rows_at(passed, clusters[0]), expected, **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_one_pass_of_a_half_stream_rounds_less(dtype, device):
    clusters = make_clusters(B, N, K, device)
    x, *run = make_run("[B,1,D]", dtype, device, dtype)
    exact = one_by_one(x.float(), *run, clusters)
    ours, _ = in_one_pass(x, *run, clusters)
    errors = [(out.float() - exact).abs().mean() for out in (ours, one_by_one(x, *run, clusters))]
    assert errors[0] < 0.7 * errors[1]


@by_mixed_dtype
def test_one_module_alone_is_forecast_residual(dtype, factors_dtype, device):
    options = {"factors_dtype": factors_dtype, "modules": 1, "corrected": False}
    x, (factors,), (gate,), *_ = make_inputs(2, 33, 4, 129, dtype, device, **options)
    expected = applied(ops.forecast_residual_, x, factors, gate, 2.0)
    ours = ops.collapsed_residual(x, [factors], [gate], 2.0)
    torch.testing.assert_close(ours, expected)


@by_dtype
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_representatives_take_the_whole_correction_others_gamma_of_it(gamma, dtype, device):
    x, *_ = make_inputs(2, 33, 4, 40, dtype, device)
    zeros = torch.zeros(1, 2, 33, 40, dtype=dtype, device=device)
    correction = make_whole(2, 4, 40, dtype=torch.float32, device=device)
    clusters = make_clusters(2, 33, 4, device)
    args = torch.zeros_like(x), [zeros], [None], 1.0, correction, *clusters, gamma
    ours = ops.collapsed_residual(*args).float()
    assert torch.equal(rows_at(ours, clusters[0]), correction)
    others = ~represents(clusters[0], 33)
    assert torch.equal(ours[others], (gamma * rows_at(correction, clusters[1]))[others])


@by_dtype
@pytest.mark.parametrize("by_tensor", [False, True])
def test_more_modules_than_one_launch_takes(by_tensor, dtype, device):
    """In pieces, each of which rounds: of float32 not more than its own arithmetic does."""
    for count in (MOST - 1, MOST, MOST + 1, MOST + 4, 2 * MOST + 1):
        x, factors, gates, distance, *clusters = make_inputs(
            2, 5, 2, 24, torch.float32, device, modules=count, factors_dtype=dtype
        )
        if by_tensor:
            distance = [torch.randn(2, device=device) for _ in range(count)]
            clusters[3] = torch.tensor(0.3, device=device)
        args = x, factors, gates, distance, *clusters
        # A sum of some hundred values is off by a few 2^-24 of the largest partial sum, some 100.
        expected = reference.collapsed_residual(*args)
        torch.testing.assert_close(ops.collapsed_residual(*args), expected, atol=5e-5, rtol=1e-5)


@by_dtype
def test_strides_of_dimensions_of_one_do_not_matter(dtype, device):
    """Of one order and one batch row: views of other memory are as good."""
    x = torch.randn(1, N, D, dtype=dtype, device=device)
    factors, gates = make_modules(3, 1, N, D, dtype, device, 1, "[B,D]", dtype)
    expected = ops.collapsed_residual(x, factors, gates, DISTANCE)
    larger = factors[1].new_empty(2, 3, N, D)[:1, :1]
    assert larger.stride() != factors[0].stride()
    factors[1] = larger.copy_(factors[1])
    assert torch.equal(ops.collapsed_residual(x, factors, gates, DISTANCE), expected)
