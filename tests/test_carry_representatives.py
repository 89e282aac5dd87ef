import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clusca_ext import ops, reference
from cluster_cases import by_outside, rows_at
from collapse_cases import CARRY, REJECTED_CARRY
from errors import assert_rejected
from inputs import (
    DTYPES,
    EXAMPLES,
    GATES,
    LAYOUTS,
    SEEDS,
    SIZES,
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
from residual_cases import REJECTED_WEIGHTS

by_computed = pytest.mark.parametrize("computed", [False, True], ids=["forecast", "computed"])


def make_inputs(B, N, K, D, dtype, device, computed=True, gate="[B,1,D]", orders=2):
    """Arguments in the operator's order, up to the distance."""
    offset, correction = torch.randn(2, B, K, D, device=device)
    factors = torch.randn(orders, B, N, D, dtype=dtype, device=device)
    representatives, _ = make_clusters(B, N, K, device)
    gate = make_gate(gate, B, N, D, dtype, device)
    feature = torch.randn(B, K, D, dtype=dtype, device=device) if computed else None
    return offset, correction, factors, representatives, gate, feature


def carried(offset, correction, *rest):
    """What the operator makes of copies of the two that it changes."""
    offset, correction = offset.clone(), correction.clone()
    assert ops.carry_representatives_(offset, correction, *rest) is None
    return offset, correction


def assert_matches_reference(*args):
    expected = reference.carry_representatives_(*args)
    for ours, theirs in zip(carried(*args), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@by_dtype
@by_cluster_shape
@by_computed
def test_matches_reference(B, N, K, D, dtype, computed, device):
    assert_matches_reference(*make_inputs(B, N, K, D, dtype, device, computed), 2.0)


@by_dtype
@by_computed
@pytest.mark.parametrize("orders", range(1, 9))
def test_every_order_matches_reference(orders, computed, dtype, device):
    inputs = make_inputs(2, 9, 3, 1100, dtype, device, computed, orders=orders)  # several blocks
    assert_matches_reference(*inputs, 1.5)


@by_dtype
@by_gate
@by_computed
def test_every_form_of_gate_in_every_dtype(gate, computed, dtype, device):
    offset, correction, factors, representatives, *_ = make_inputs(3, 33, 4, 40, dtype, device)
    for other in DTYPES:  # those of the gate and of the computed feature are their own
        feature = torch.randn(3, 4, 40, dtype=other, device=device) if computed else None
        gates = make_gate(gate, 3, 33, 40, other, device)
        args = (offset, correction, factors, representatives, gates, feature, 2.0)
        assert_matches_reference(*args)


@by_dtype
def test_the_gate_of_a_token_is_that_of_the_representative(dtype, device):
    offset, correction, factors, representatives, gate, computed = make_inputs(
        2, 33, 4, 40, dtype, device, gate="[B,N,D]"
    )
    zeros, ones = torch.zeros_like(offset), torch.ones_like(computed)
    added, _ = carried(zeros, correction, factors, representatives, gate, ones, 2.0)
    assert torch.equal(added, rows_at(gate, representatives).float())


@by_dtype
def test_into_zeros_without_gate_it_is_what_was_computed(dtype, device):
    offset, correction, factors, representatives, _, computed = make_inputs(
        2, 33, 4, 129, dtype, device, orders=3
    )
    zeros = torch.zeros_like(offset)
    added, learnt = carried(zeros, zeros, factors, representatives, None, computed, 3.0)
    forecast, nothing = carried(zeros, zeros, factors, representatives, None, None, 3.0)
    assert torch.equal(added, computed.float())
    assert torch.equal(learnt, added - forecast)
    assert not nothing.any()
    at_tokens = rows_at(ops.taylor_forecast(factors.float(), 3.0), representatives)
    torch.testing.assert_close(forecast, at_tokens)


@by_dtype
def test_what_is_forecast_teaches_nothing(dtype, device):
    offset, correction, *rest, _ = make_inputs(2, 33, 4, 40, dtype, device)
    moved, learnt = carried(offset, correction, *rest, None, 2.0)
    assert torch.equal(learnt, correction)
    assert not torch.equal(moved, offset)


@by_dtype
@by_computed
def test_sums_are_exact(computed, dtype, device):
    offset, correction = make_whole(2, 2, 4, 129, dtype=torch.float32, device=device)
    gate, *factors = make_whole(4, 2, 64, 129, dtype=dtype, device=device)
    feature = make_whole(2, 4, 129, dtype=dtype, device=device) if computed else None
    representatives, _ = make_clusters(2, 64, 4, device)
    args = (offset, correction, torch.stack(factors), representatives, gate, feature, 2**-3)
    expected = reference.carry_representatives_(*args)
    for ours, theirs in zip(carried(*args), expected, strict=True):
        assert torch.equal(ours, theirs)


@by_dtype
@by_computed
@by_outside
def test_a_representative_out_of_range_leaves_its_rows_alone(outside, computed, dtype, device):
    inputs = make_inputs(2, 33, 4, 40, dtype, device, computed, "[B,N,D]")
    offset, correction, factors, representatives, gate, feature = inputs
    whole = carried(*inputs, 2.0)
    broken = representatives.clone()
    broken[:, 2] = outside
    ours = carried(offset, correction, factors, broken, gate, feature, 2.0)
    for got, all_inside, before in zip(ours, whole, (offset, correction), strict=True):
        assert torch.equal(got[:, 2], before[:, 2])
        assert torch.equal(got[:, [0, 1, 3]], all_inside[:, [0, 1, 3]])


@by_dtype
def test_a_token_may_represent_several_clusters(dtype, device):
    offset, correction, factors, representatives, gate, computed = make_inputs(
        2, 33, 4, 40, dtype, device
    )
    args = (factors, representatives[:, :1].repeat(1, 4), gate, computed[:, :1].expand(2, 4, 40))
    zeros = torch.zeros_like(offset)
    for sums in carried(zeros, zeros, *args, 2.0):
        assert sums.any()
        assert torch.equal(sums, sums[:, :1].expand_as(sums))


@by_dtype
@by_computed
@pytest.mark.parametrize("gate", ["[B,D]", "[B,N,D]"])
def test_a_batch_equals_its_rows(gate, computed, dtype, device):
    inputs = make_inputs(3, 33, 4, 129, dtype, device, computed, gate)
    offset, correction, factors, *rest = inputs
    batch = carried(*inputs, 3.0)
    for b in range(3):
        only = slice(b, b + 1)
        of_row = [part if part is None else part[only] for part in rest]
        row = carried(offset[only], correction[only], factors[:, only], *of_row, 3.0)
        for ours, whole in zip(row, batch, strict=True):
            assert torch.equal(ours[0], whole[b])


@by_dtype
@by_layout
@by_computed
@pytest.mark.parametrize("gate", ["[B,D]", "[B,N,D]"])
def test_layout_does_not_matter_and_nothing_else_is_written(gate, computed, layout, dtype, device):
    args = make_inputs(3, 33, 4, 40, dtype, device, computed, gate)
    dense = carried(*args, 2.0)
    offset, correction, *rest = [laid_out(argument, layout) for argument in args]
    ops.carry_representatives_(offset, correction, *rest, 2.0)
    for view, expected in zip((offset, correction), dense, strict=True):
        assert torch.equal(view, expected)
        assert wrote_only(view)
    for view, argument in zip(rest, args[2:], strict=True):
        assert view is argument is None or torch.equal(view, argument)


@by_dtype
@by_computed
@pytest.mark.parametrize("orders", [1, 3, 6])
def test_weights_may_be_a_tensor(orders, computed, dtype, device):
    inputs = make_inputs(2, 33, 4, 40, dtype, device, computed, orders=orders)
    weights = torch.tensor(reference.taylor_weights(2.0, orders), device=device)
    expected = carried(*inputs, 2.0)
    for given_weights in (weights, weights.expand(2, orders)):
        for ours, theirs in zip(carried(*inputs, given_weights), expected, strict=True):
            assert torch.equal(ours, theirs)
    assert_matches_reference(*inputs, torch.randn(2, orders, device=device))


@EXAMPLES
@given(
    SIZES,
    SEEDS,
    *map(st.sampled_from, (DTYPES, DTYPES, LAYOUTS, GATES, [None, *DTYPES])),
    st.integers(1, 8),
)
def test_any_input_matches_reference(
    device, sizes, seed, dtype, gate_dtype, layout, form, computed, orders
):
    B, N, K, D = sizes
    torch.manual_seed(seed)
    offset, correction, factors, *_ = make_inputs(B, N, K, D, dtype, device, orders=orders)
    representatives, _ = make_untrusted_clusters(B, N, K, device)
    gate = make_gate(form, B, N, D, gate_dtype, device)
    feature = None if computed is None else torch.randn(B, K, D, dtype=computed, device=device)
    rest = (factors, representatives, gate, feature, 1.5)
    views = [laid_out(argument, layout) for argument in (offset, correction)]
    ops.carry_representatives_(*views, *[laid_out(argument, layout) for argument in rest])
    expected = reference.carry_representatives_(offset, correction, *rest)
    for view, theirs in zip(views, expected, strict=True):
        torch.testing.assert_close(view, theirs)
        assert wrote_only(view)


@by_dtype
@by_computed
@pytest.mark.parametrize("overload", ["default", "tensor"])
def test_opcheck(overload, computed, dtype, device):
    weights = torch.tensor([1.0, 2.0], device=device) if overload == "tensor" else 2.0
    args = (*make_inputs(2, 33, 4, 24, dtype, device, computed), weights)
    torch.library.opcheck(getattr(torch.ops.clusca.carry_representatives_, overload), args)


@pytest.mark.parametrize("override, message", REJECTED_CARRY)
def test_rejects(override, message):
    assert_rejected("carry_representatives_", (CARRY | override).values(), message)


@pytest.mark.parametrize("weights, message", REJECTED_WEIGHTS)
def test_rejects_weights(weights, message):
    arguments = CARRY | {"distance": weights}
    assert_rejected("carry_representatives_", arguments.values(), message, "tensor")


def test_rejects_rows_without_channels():
    arguments = CARRY | {
        name: CARRY[name][..., :0] for name in ("offset", "correction", "factors", "computed")
    }
    message = "D of factors must be at least 1, got 0"
    assert_rejected("carry_representatives_", arguments.values(), message)
