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
    EXAMPLES,
    GATES,
    LAYOUTS,
    SEEDS,
    SIZES,
    applied,
    by_cluster_shape,
    by_dtype,
    by_gate,
    by_layout,
    laid_out,
    make_clusters,
    make_gate,
    make_untrusted_clusters,
    make_whole,
    wrote_only,
)
from residual_cases import (
    MIXED,
    REJECTED_STREAM,
    REJECTED_WEIGHTS,
    STREAM,
    by_mixed_dtype,
    make_stream,
)


def make_inputs(B, N, K, D, dtype, device, gate="[B,1,D]", orders=2):
    """x, factors, computed, representatives, cluster_ids, gate: the operator's order."""
    stream = make_stream(B, N, D, dtype, dtype, device, orders)
    computed = make_computed(B, N, K, D, dtype, device)
    return *stream, *computed, make_gate(gate, B, N, D, dtype, device)


def assert_matches_reference(*args):
    expected = reference.propagate_residual_(*args)
    torch.testing.assert_close(applied(ops.propagate_residual_, *args), expected)


@by_dtype
@by_cluster_shape
@by_rule
def test_matches_reference(B, N, K, D, dtype, rule, device):
    assert_matches_reference(*make_inputs(B, N, K, D, dtype, device), 0.3, 2.0, rule)


@by_dtype
@by_rule
@pytest.mark.parametrize("orders", [1, 3, 4, 8])
def test_every_order_matches_reference(orders, rule, dtype, device):
    inputs = make_inputs(2, 9, 3, 1100, dtype, device, orders=orders)  # rows of several blocks
    assert_matches_reference(*inputs, 0.3, 1.5, rule)


@by_mixed_dtype
@by_gate
def test_mixed_precision_and_every_form_of_gate(gate, dtype, factors_dtype, device):
    stream = make_stream(3, 33, 40, dtype, factors_dtype, device)
    lower = torch.float16 if dtype == torch.float32 else dtype  # computed may differ from factors
    computed = make_computed(3, 33, 4, 40, lower, device)
    for gate_dtype in (dtype, torch.float32):
        gates = make_gate(gate, 3, 33, 40, gate_dtype, device)
        assert_matches_reference(*stream, *computed, gates, 0.3, 2.0, "delta")


@by_dtype
@by_rule
def test_representatives_add_their_computed_feature(rule, dtype, device):
    x, factors, computed, *clusters, _ = make_inputs(2, 64, 4, 129, dtype, device)
    args = (torch.zeros_like(x), factors, computed, *clusters, None, 0.3, 2.0, rule)
    update = applied(ops.propagate_residual_, *args)
    assert torch.equal(rows_at(update, clusters[0]), computed)


@by_dtype
@by_rule
def test_gamma_0_leaves_the_others_at_their_forecast(rule, dtype, device):
    inputs = make_inputs(2, 64, 4, 129, dtype, device)
    x, factors, _, representatives, _, gate = inputs
    others = ~represents(representatives, 64)
    ours = applied(ops.propagate_residual_, *inputs, 0.0, 2.0, rule)
    expected = applied(ops.forecast_residual_, x, factors, gate, 2.0)
    assert torch.equal(ours[others], expected[others])


@by_dtype
@by_rule
def test_with_order_0_it_adds_cluster_propagate(rule, dtype, device):
    inputs = make_inputs(2, 64, 4, 129, dtype, device, "none", orders=1)
    x, factors, *clusters, gate = inputs
    args = (torch.zeros_like(x), factors, *clusters, gate, 0.3, 2.0, rule)
    update = applied(ops.propagate_residual_, *args)
    assert torch.equal(update, ops.cluster_propagate(factors[0], *clusters, 0.3, rule))


@by_dtype
@by_rule
def test_rounds_once(rule, dtype, device):
    x, gate, *factors = make_whole(4, 2, 64, 129, dtype=dtype, device=device)
    computed = make_whole(2, 4, 129, dtype=dtype, device=device), *make_clusters(2, 64, 4, device)
    args = (x, torch.stack(factors), *computed, gate, 0.5, 2**-3, rule)
    expected = reference.propagate_residual_(*args)
    assert torch.equal(applied(ops.propagate_residual_, *args), expected)


@by_dtype
@by_outside
def test_indices_out_of_range_keep_the_forecast(outside, dtype, device):
    inputs = make_inputs(2, 33, 4, 40, dtype, device)
    x, factors, computed, representatives, cluster_ids, gate = inputs
    whole = applied(ops.propagate_residual_, *inputs, 0.3, 2.0, "delta")
    forecast = applied(ops.forecast_residual_, x, factors, gate, 2.0)
    broken, alone = cluster_without(representatives, cluster_ids, 2, outside)
    lost = torch.arange(33, device=device) % 3 == 0
    labels = cluster_ids.masked_fill(lost, outside)
    args = (x, factors, computed, broken, labels, gate, 0.3, 2.0, "delta")
    ours = applied(ops.propagate_residual_, *args)
    assert torch.equal(ours, torch.where((alone | lost).unsqueeze(-1), forecast, whole))


@by_dtype
@by_rule
@pytest.mark.parametrize("gate", ["[B,D]", "[B,N,D]"])
def test_a_batch_equals_its_rows(gate, rule, dtype, device):
    x, factors, *rest = make_inputs(3, 33, 4, 129, dtype, device, gate)
    batch = applied(ops.propagate_residual_, x, factors, *rest, 0.3, 2.0, rule)
    for b in range(3):
        only = slice(b, b + 1)
        args = (x[only], factors[:, only], *[part[only] for part in rest], 0.3, 2.0, rule)
        assert torch.equal(applied(ops.propagate_residual_, *args)[0], batch[b])


@by_dtype
@by_layout
@by_rule
@pytest.mark.parametrize("gate", ["[B,D]", "[B,N,D]"])
def test_layout_does_not_matter_and_nothing_else_is_written(gate, rule, layout, dtype, device):
    args = (*make_inputs(3, 33, 4, 40, dtype, device, gate), 0.3, 2.0, rule)
    dense = applied(ops.propagate_residual_, *args)
    x, *rest = [laid_out(argument, layout) for argument in args]
    ops.propagate_residual_(x, *rest)
    assert torch.equal(x, dense)
    assert wrote_only(x)
    for view, argument in zip(rest[:5], args[1:6], strict=True):
        assert torch.equal(view, argument)


@by_dtype
@by_rule
@pytest.mark.parametrize("orders", [1, 3, 6])
def test_gamma_and_weights_may_be_tensors(orders, rule, dtype, device):
    inputs = make_inputs(2, 33, 4, 40, dtype, device, orders=orders)
    gamma = torch.tensor(0.3, device=device)
    weights = torch.tensor(reference.taylor_weights(2.0, orders), device=device)
    by_tensor = applied(ops.propagate_residual_, *inputs, gamma, weights, rule)
    assert torch.equal(by_tensor, applied(ops.propagate_residual_, *inputs, 0.3, 2.0, rule))
    of_rows = torch.randn(2, orders, device=device)
    assert_matches_reference(*inputs, gamma, of_rows, rule)


@EXAMPLES
@given(
    SIZES,
    SEEDS,
    *map(st.sampled_from, (MIXED, LAYOUTS, GATES, RULES)),
    st.integers(1, 5),
    st.floats(0, 1, width=32),
)
def test_any_input_matches_reference(
    device, sizes, seed, dtypes, layout, form, rule, orders, gamma
):
    B, N, K, D = sizes
    torch.manual_seed(seed)
    x, factors = make_stream(B, N, D, *dtypes, device, orders)
    computed, *_ = make_computed(B, N, K, D, dtypes[1], device)
    clusters = make_untrusted_clusters(B, N, K, device)
    gate = make_gate(form, B, N, D, dtypes[0], device)
    rest = (factors, computed, *clusters, gate, gamma, 1.5, rule)
    view = laid_out(x, layout)
    ops.propagate_residual_(view, *[laid_out(argument, layout) for argument in rest])
    torch.testing.assert_close(view, reference.propagate_residual_(x, *rest))
    assert wrote_only(view)


@by_mixed_dtype
@pytest.mark.parametrize("overload", ["default", "tensor"])
def test_opcheck(overload, dtype, factors_dtype, device):
    values = (torch.tensor(0.3, device=device), torch.tensor([1.0, 2.0], device=device))
    stream = make_stream(2, 33, 24, dtype, factors_dtype, device)
    computed = make_computed(2, 33, 4, 24, factors_dtype, device)
    gate = torch.randn(2, 24, device=device)
    args = (*stream, *computed, gate, *(values if overload == "tensor" else (0.3, 2.0)), "delta")
    torch.library.opcheck(getattr(torch.ops.clusca.propagate_residual_, overload), args)


ARGUMENTS = STREAM | CLUSTERS | {"gate": None, "gamma": 0.3, "distance": 1.0, "rule": "value"}


@pytest.mark.parametrize(
    "override, message",
    [
        *REJECTED_STREAM,
        *REJECTED_CLUSTERS,
        ({"rule": "mean"}, 'rule must be one of "value", "delta", got "mean"'),
    ],
)
def test_rejects(override, message):
    assert_rejected("propagate_residual_", (ARGUMENTS | override).values(), message)


@pytest.mark.parametrize(
    "gamma, weights, message",
    [
        *[(gamma, torch.zeros(3), message) for gamma, message in REJECTED_GAMMAS],
        *[(torch.tensor(0.3), weights, message) for weights, message in REJECTED_WEIGHTS],
    ],
)
def test_rejects_tensors(gamma, weights, message):
    arguments = ARGUMENTS | {"gamma": gamma, "distance": weights}
    assert_rejected("propagate_residual_", arguments.values(), message, "tensor")


@pytest.mark.parametrize("gamma, distance", [(torch.tensor(0.3), 1.0), (0.3, torch.zeros(3))])
def test_gamma_and_distance_are_of_one_kind(gamma, distance):
    kinds = f"gamma: {type(gamma).__name__}, distance: {type(distance).__name__}"
    with pytest.raises(ValueError) as caught:
        ops.propagate_residual_(**ARGUMENTS | {"gamma": gamma, "distance": distance})
    message = "gamma and distance must all be numbers or all be tensors, got "
    assert str(caught.value) == message + kinds
