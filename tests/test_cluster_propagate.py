import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clusca_ext import ops, reference
from cluster_cases import (
    CLUSTERS,
    REJECTED_CLUSTERS,
    REJECTED_GAMMAS,
    RULES,
    by_outside,
    by_rule,
    cluster_without,
    make_computed,
    represents,
    rows_at,
)
from errors import assert_rejected
from inputs import (
    DTYPES,
    EXAMPLES,
    LAYOUTS,
    SEEDS,
    SIZES,
    by_cluster_shape,
    by_dtype,
    by_layout,
    laid_out,
    make_clusters,
    make_untrusted_clusters,
    make_whole,
)


def make_inputs(B, N, K, D, dtype, device):
    forecast = torch.randn(B, N, D, dtype=dtype, device=device)
    return forecast, *make_computed(B, N, K, D, dtype, device)


@by_dtype
@by_cluster_shape
@by_rule
@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_matches_reference(B, N, K, D, dtype, rule, gamma, device):
    args = (*make_inputs(B, N, K, D, dtype, device), gamma, rule)
    torch.testing.assert_close(ops.cluster_propagate(*args), reference.cluster_propagate(*args))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@by_rule
def test_computed_may_be_of_lower_precision(rule, dtype, device):
    forecast, computed, *clusters = make_inputs(2, 33, 4, 40, torch.float32, device)
    args = (forecast, computed.to(dtype), *clusters, 0.3, rule)
    ours = ops.cluster_propagate(*args)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, reference.cluster_propagate(*args))


@by_dtype
@by_rule
def test_representatives_keep_their_computed_feature(rule, dtype, device):
    inputs = make_inputs(2, 64, 4, 129, dtype, device)
    _, computed, representatives, _ = inputs
    out = ops.cluster_propagate(*inputs, 0.3, rule)
    assert torch.equal(rows_at(out, representatives), computed)


@by_dtype
@by_rule
def test_gamma_0_leaves_the_others_at_their_forecast(rule, dtype, device):
    inputs = make_inputs(2, 64, 4, 129, dtype, device)
    forecast, _, representatives, _ = inputs
    others = ~represents(representatives, 64)
    out = ops.cluster_propagate(*inputs, 0.0, rule)
    assert torch.equal(out[others], forecast[others])


@by_dtype
def test_gamma_1_copies_the_computed_feature(dtype, device):
    inputs = make_inputs(2, 64, 4, 129, dtype, device)
    _, computed, _, cluster_ids = inputs
    out = ops.cluster_propagate(*inputs, 1.0)
    assert torch.equal(out, rows_at(computed, cluster_ids))


@by_dtype
def test_delta_rule_adds_what_the_forecast_missed(dtype, device):
    forecast, _, representatives, cluster_ids = make_inputs(2, 64, 4, 129, dtype, device)
    forecast = (8 * forecast).round()  # whole numbers: every sum below is exact
    missed = torch.randint(-8, 9, (2, 4, 129), device=device).to(dtype)
    computed = rows_at(forecast, representatives) + missed
    out = ops.cluster_propagate(forecast, computed, representatives, cluster_ids, 1.0, "delta")
    assert torch.equal(out, forecast + rows_at(missed, cluster_ids))


@by_dtype
@by_rule
def test_rounds_once(rule, dtype, device):
    forecast, computed = make_whole(2, 2, 64, 129, dtype=dtype, device=device)
    args = (forecast, computed[:, :4], *make_clusters(2, 64, 4, device), 2**-8, rule)
    assert torch.equal(ops.cluster_propagate(*args), reference.cluster_propagate(*args))


def test_every_token_its_own_cluster_is_the_computed_feature(device):
    forecast, computed, representatives, cluster_ids = make_inputs(
        2, 33, 33, 24, torch.float32, device
    )
    out = ops.cluster_propagate(forecast, computed, representatives, cluster_ids, 0.3)
    assert torch.equal(out, rows_at(computed, cluster_ids))


def test_a_token_may_represent_a_cluster_it_is_not_in(device):
    forecast, computed, _, cluster_ids = make_inputs(2, 33, 4, 24, torch.float32, device)
    everywhere = torch.full((2, 4), 5, dtype=torch.int32, device=device)
    args = (forecast, computed, everywhere, cluster_ids, 0.3, "delta")
    torch.testing.assert_close(ops.cluster_propagate(*args), reference.cluster_propagate(*args))


@by_dtype
@by_rule
@by_outside
def test_a_representative_out_of_range_makes_its_cluster_empty(outside, rule, dtype, device):
    forecast, computed, representatives, cluster_ids = make_inputs(2, 33, 4, 24, dtype, device)
    whole = ops.cluster_propagate(forecast, computed, representatives, cluster_ids, 0.3, rule)
    broken, alone = cluster_without(representatives, cluster_ids, 2, outside)
    out = ops.cluster_propagate(forecast, computed, broken, cluster_ids, 0.3, rule)
    assert torch.equal(out, torch.where(alone.unsqueeze(-1), forecast, whole))


@by_dtype
@by_rule
@by_outside
def test_a_label_out_of_range_keeps_the_forecast(outside, rule, dtype, device):
    forecast, computed, representatives, cluster_ids = make_inputs(2, 33, 4, 24, dtype, device)
    whole = ops.cluster_propagate(forecast, computed, representatives, cluster_ids, 0.3, rule)
    lost = torch.arange(33, device=device) % 3 == 0
    labels = cluster_ids.masked_fill(lost, outside)
    out = ops.cluster_propagate(forecast, computed, representatives, labels, 0.3, rule)
    assert torch.equal(out, torch.where(lost.unsqueeze(-1), forecast, whole))


@by_dtype
@by_rule
def test_a_batch_equals_its_rows(rule, dtype, device):
    inputs = make_inputs(3, 33, 4, 129, dtype, device)
    batch = ops.cluster_propagate(*inputs, 0.3, rule)
    for b in range(3):
        row = ops.cluster_propagate(*[part[b : b + 1] for part in inputs], 0.3, rule)
        assert torch.equal(row[0], batch[b])


@by_dtype
@by_rule
@by_layout
def test_layout_does_not_matter(layout, rule, dtype, device):
    inputs = make_inputs(2, 33, 4, 40, dtype, device)
    dense = ops.cluster_propagate(*inputs, 0.3, rule)
    views = ops.cluster_propagate(*[laid_out(part, layout) for part in inputs], 0.3, rule)
    assert views.is_contiguous()
    assert torch.equal(views, dense)


@by_dtype
@by_rule
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_gamma_may_be_a_tensor(gamma, rule, dtype, device):
    inputs = make_inputs(2, 33, 4, 40, dtype, device)
    on_device = torch.tensor(gamma, device=device)
    by_tensor = ops.cluster_propagate(*inputs, on_device, rule)
    assert torch.equal(by_tensor, ops.cluster_propagate(*inputs, gamma, rule))


@EXAMPLES
@given(SIZES, SEEDS, *map(st.sampled_from, (DTYPES, LAYOUTS, RULES)), st.floats(0, 1, width=32))
def test_any_input_matches_reference(device, sizes, seed, dtype, layout, rule, gamma):
    B, N, K, D = sizes
    torch.manual_seed(seed)
    forecast, computed, *_ = make_inputs(B, N, K, D, dtype, device)
    inputs = (forecast, computed, *make_untrusted_clusters(B, N, K, device))
    ours = ops.cluster_propagate(*[laid_out(part, layout) for part in inputs], gamma, rule)
    torch.testing.assert_close(ours, reference.cluster_propagate(*inputs, gamma, rule))


@by_dtype
@pytest.mark.parametrize("overload", ["default", "tensor"])
def test_opcheck(overload, dtype, device):
    gamma = torch.tensor(0.3, device=device) if overload == "tensor" else 0.3
    args = (*make_inputs(2, 33, 4, 24, dtype, device), gamma, "delta")
    torch.library.opcheck(getattr(torch.ops.clusca.cluster_propagate, overload), args)


@pytest.mark.parametrize(
    "override, message",
    [
        ({"forecast": torch.zeros(9, 4)}, "forecast must be [B, N, D], got shape [9, 4]"),
        (
            {"forecast": torch.zeros(2, 9, 4).double()},
            "forecast must be float32, float16 or bfloat16, got float64",
        ),
        ({"forecast": torch.zeros(2, 9, 0)}, "D of forecast must be at least 1, got 0"),
        (
            {"forecast": torch.zeros(2, 4, 9).mT},
            "forecast must be dense in its last dimension, got stride 9",
        ),
        ({"forecast": torch.zeros(2, 9, 4).half()}, "computed must be float16, got float32"),
        *REJECTED_CLUSTERS,
        ({"rule": "mean"}, 'rule must be one of "value", "delta", got "mean"'),
    ],
)
def test_rejects(override, message):
    arguments = {"forecast": torch.zeros(2, 9, 4)} | CLUSTERS | {"gamma": 0.3, "rule": "value"}
    assert_rejected("cluster_propagate", (arguments | override).values(), message)


@pytest.mark.parametrize("gamma, message", REJECTED_GAMMAS)
def test_rejects_a_gamma_tensor(gamma, message):
    arguments = {"forecast": torch.zeros(2, 9, 4)} | CLUSTERS | {"gamma": gamma}
    assert_rejected("cluster_propagate", arguments.values(), message, "tensor")
