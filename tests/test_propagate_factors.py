import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clusca_ext import ops, reference
from cluster_cases import (
    CLUSTERS,
    REJECTED_CLUSTERS,
    REJECTED_GAMMAS,
    by_outside,
    cluster_without,
    make_computed,
    represents,
    rows_at,
)
from errors import assert_rejected
from factor_cases import FACTORS, REJECTED_FACTORS, REJECTED_SHARED_FACTORS
from inputs import (
    DTYPES,
    EXAMPLES,
    LAYOUTS,
    SEEDS,
    SIZES,
    applied,
    by_cluster_shape,
    by_dtype,
    by_layout,
    laid_out,
    make_clusters,
    make_untrusted_clusters,
    make_whole,
    wrote_only,
)


def make_inputs(B, N, K, D, dtype, device, orders=2):
    factors = torch.randn(orders, B, N, D, dtype=dtype, device=device)
    return factors, *make_computed(B, N, K, D, dtype, device)


@by_dtype
@by_cluster_shape
@pytest.mark.parametrize("gamma", [0.005, 1.0])
def test_matches_reference(B, N, K, D, dtype, gamma, device):
    args = (*make_inputs(B, N, K, D, dtype, device), gamma)
    expected = reference.propagate_factors_(*args)
    torch.testing.assert_close(applied(ops.propagate_factors_, *args), expected)


@by_dtype
def test_is_the_value_rule_on_order_0(dtype, device):
    args = (*make_inputs(2, 33, 4, 129, dtype, device), 0.3)
    edited = applied(ops.propagate_factors_, *args)
    assert torch.equal(edited[0], ops.cluster_propagate(args[0][0], *args[1:]))


@by_dtype
def test_representatives_keep_their_computed_feature(dtype, device):
    inputs = make_inputs(2, 64, 4, 129, dtype, device)
    _, computed, representatives, _ = inputs
    edited = applied(ops.propagate_factors_, *inputs, 0.3)
    assert torch.equal(rows_at(edited[0], representatives), computed)


@by_dtype
def test_gamma_0_changes_representatives_only(dtype, device):
    inputs = make_inputs(2, 64, 4, 129, dtype, device)
    factors, _, representatives, _ = inputs
    others = ~represents(representatives, 64)
    edited = applied(ops.propagate_factors_, *inputs, 0.0)
    assert torch.equal(edited[0][others], factors[0][others])


@by_dtype
def test_rounds_once(dtype, device):
    factors = make_whole(2, 2, 64, 129, dtype=dtype, device=device)
    args = (factors, factors[1, :, :4], *make_clusters(2, 64, 4, device), 2**-8)
    expected = reference.propagate_factors_(*args)
    assert torch.equal(applied(ops.propagate_factors_, *args), expected)


@pytest.mark.parametrize("orders", [1, 2, 8])
def test_higher_orders_are_neither_read_nor_written(orders, device):
    factors, *rest = make_inputs(2, 33, 4, 40, torch.float32, device, orders)
    factors[1:] = float("nan")
    edited = applied(ops.propagate_factors_, factors, *rest, 0.3)
    assert edited[0].isfinite().all()
    assert edited[1:].isnan().all()


def test_corrections_accumulate(device):
    factors, computed, *clusters = make_inputs(1, 33, 4, 40, torch.float32, device)
    _, cluster_ids = clusters
    edited = factors.clone()
    for _ in range(200):
        ops.propagate_factors_(edited, computed, *clusters, 0.3)
    # 0.7^200 of the distance is left: below float32's rounding.
    torch.testing.assert_close(edited[0], rows_at(computed, cluster_ids))


@by_dtype
@by_outside
def test_a_representative_out_of_range_makes_its_cluster_empty(outside, dtype, device):
    factors, computed, representatives, cluster_ids = make_inputs(2, 33, 4, 24, dtype, device)
    whole = applied(ops.propagate_factors_, factors, computed, representatives, cluster_ids, 0.3)
    broken, alone = cluster_without(representatives, cluster_ids, 2, outside)
    edited = applied(ops.propagate_factors_, factors, computed, broken, cluster_ids, 0.3)
    assert torch.equal(edited, torch.where(alone.unsqueeze(-1), factors, whole))


@by_dtype
@by_outside
def test_a_label_out_of_range_keeps_its_factor(outside, dtype, device):
    factors, computed, representatives, cluster_ids = make_inputs(2, 33, 4, 24, dtype, device)
    whole = applied(ops.propagate_factors_, factors, computed, representatives, cluster_ids, 0.3)
    lost = torch.arange(33, device=device) % 3 == 0
    labels = cluster_ids.masked_fill(lost, outside)
    edited = applied(ops.propagate_factors_, factors, computed, representatives, labels, 0.3)
    assert torch.equal(edited, torch.where(lost.unsqueeze(-1), factors, whole))


@by_dtype
def test_a_batch_equals_its_rows(dtype, device):
    factors, *rest = make_inputs(3, 33, 4, 129, dtype, device)
    batch = applied(ops.propagate_factors_, factors, *rest, 0.3)
    for b in range(3):
        only = slice(b, b + 1)
        row = applied(ops.propagate_factors_, factors[:, only], *[part[only] for part in rest], 0.3)
        assert torch.equal(row[:, 0], batch[:, b])


@by_dtype
@by_layout
def test_layout_does_not_matter_and_nothing_else_is_written(layout, dtype, device):
    args = (*make_inputs(2, 33, 4, 40, dtype, device), 0.3)
    dense = applied(ops.propagate_factors_, *args)
    factors, *rest = [laid_out(argument, layout) for argument in args]
    ops.propagate_factors_(factors, *rest)
    assert torch.equal(factors, dense)
    assert wrote_only(factors)


@by_dtype
def test_gamma_may_be_a_tensor(dtype, device):
    inputs = make_inputs(2, 33, 4, 40, dtype, device)
    by_tensor = applied(ops.propagate_factors_, *inputs, torch.tensor(0.3, device=device))
    assert torch.equal(by_tensor, applied(ops.propagate_factors_, *inputs, 0.3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_computed_may_be_of_lower_precision(dtype, device):
    factors, computed, *clusters = make_inputs(2, 33, 4, 40, torch.float32, device)
    args = (factors, computed.to(dtype), *clusters, 0.3)
    expected = reference.propagate_factors_(*args)
    torch.testing.assert_close(applied(ops.propagate_factors_, *args), expected)


@EXAMPLES
@given(SIZES, SEEDS, *map(st.sampled_from, (DTYPES, LAYOUTS)), st.floats(0, 1, width=32))
def test_any_input_matches_reference(device, sizes, seed, dtype, layout, gamma):
    B, N, K, D = sizes
    torch.manual_seed(seed)
    factors, computed, *_ = make_inputs(B, N, K, D, dtype, device)
    rest = (computed, *make_untrusted_clusters(B, N, K, device), gamma)
    view = laid_out(factors, layout)
    ops.propagate_factors_(view, *[laid_out(argument, layout) for argument in rest])
    torch.testing.assert_close(view, reference.propagate_factors_(factors, *rest))
    assert wrote_only(view)


@by_dtype
@pytest.mark.parametrize("overload", ["default", "tensor"])
def test_opcheck(overload, dtype, device):
    gamma = torch.tensor(0.3, device=device) if overload == "tensor" else 0.3
    args = (*make_inputs(2, 33, 4, 24, dtype, device), gamma)
    torch.library.opcheck(getattr(torch.ops.clusca.propagate_factors_, overload), args)


@pytest.mark.parametrize(
    "override, message",
    [
        *REJECTED_FACTORS,
        *REJECTED_SHARED_FACTORS,
        ({"factors": FACTORS.half()}, "computed must be float16, got float32"),
        *REJECTED_CLUSTERS,
    ],
)
def test_rejects(override, message):
    arguments = {"factors": FACTORS} | CLUSTERS | {"gamma": 0.3}
    assert_rejected("propagate_factors_", (arguments | override).values(), message)


@pytest.mark.parametrize("gamma, message", REJECTED_GAMMAS)
def test_rejects_a_gamma_tensor(gamma, message):
    arguments = {"factors": FACTORS} | CLUSTERS | {"gamma": gamma}
    assert_rejected("propagate_factors_", arguments.values(), message, "tensor")
