import pytest
import torch

from clusca_ext import ops, reference
from errors import assert_rejected
from inputs import (
    applied,
    by_dtype,
    by_gate,
    by_layout,
    by_token_shape,
    laid_out,
    make_gate,
    make_whole,
    wrote_only,
)
from residual_cases import (
    HALVES,
    REJECTED_STREAM,
    REJECTED_WEIGHTS,
    STREAM,
    by_mixed_dtype,
    make_stream,
)


def make_inputs(B, N, D, dtype, device, gate="[B,1,D]", orders=2):
    stream = make_stream(B, N, D, dtype, dtype, device, orders)
    return *stream, make_gate(gate, B, N, D, dtype, device)


@by_dtype
@by_token_shape
@pytest.mark.parametrize("orders", [1, 2, 5])
def test_matches_reference(B, N, D, dtype, orders, device):
    args = (*make_inputs(B, N, D, dtype, device, orders=orders), 2.0)
    expected = reference.forecast_residual_(*args)
    torch.testing.assert_close(applied(ops.forecast_residual_, *args), expected)


@by_dtype
@by_gate
def test_every_form_of_gate(gate, dtype, device):
    args = (*make_inputs(3, 7, 40, dtype, device, gate), 2.0)
    expected = reference.forecast_residual_(*args)
    torch.testing.assert_close(applied(ops.forecast_residual_, *args), expected)


@by_mixed_dtype
@by_gate
def test_mixed_precision(gate, dtype, factors_dtype, device):
    stream = make_stream(3, 7, 40, dtype, factors_dtype, device)
    args = (*stream, make_gate(gate, 3, 7, 40, torch.float32, device), 2.0)
    ours = applied(ops.forecast_residual_, *args)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, reference.forecast_residual_(*args))


@by_dtype
def test_into_zeros_without_gate_it_is_the_forecast(dtype, device):
    x, factors, _ = make_inputs(2, 5, 129, dtype, device, orders=3)
    update = applied(ops.forecast_residual_, torch.zeros_like(x), factors, None, 3.0)
    assert torch.equal(update, ops.taylor_forecast(factors, 3.0))


@by_dtype
def test_no_gate_is_a_gate_of_ones(dtype, device):
    x, factors, gate = make_inputs(2, 5, 129, dtype, device)
    gated = applied(ops.forecast_residual_, x, factors, torch.ones_like(gate), 3.0)
    assert torch.equal(gated, applied(ops.forecast_residual_, x, factors, None, 3.0))


@by_dtype
def test_rounds_once(dtype, device):
    x, gate, *factors = make_whole(4, 2, 33, 129, dtype=dtype, device=device)
    args = (x, torch.stack(factors), gate, 2**-8)
    expected = reference.forecast_residual_(*args)
    assert torch.equal(applied(ops.forecast_residual_, *args), expected)


@by_dtype
def test_a_closed_gate_changes_nothing(dtype, device):
    x, factors, gate = make_inputs(2, 5, 129, dtype, device)
    gated = applied(ops.forecast_residual_, x, factors, torch.zeros_like(gate), 3.0)
    assert torch.equal(gated, x)


@by_dtype
@pytest.mark.parametrize("gate", ["[B,D]", "[B,N,D]"])
def test_a_batch_equals_its_rows(gate, dtype, device):
    x, factors, gate = make_inputs(3, 7, 129, dtype, device, gate)
    batch = applied(ops.forecast_residual_, x, factors, gate, 3.0)
    for b in range(3):
        only = slice(b, b + 1)
        row = applied(ops.forecast_residual_, x[only], factors[:, only], gate[only], 3.0)
        assert torch.equal(row[0], batch[b])


@by_dtype
@by_layout
@pytest.mark.parametrize("gate", ["[B,D]", "[B,N,D]"])
def test_layout_does_not_matter_and_nothing_else_is_written(gate, layout, dtype, device):
    args = (*make_inputs(3, 7, 40, dtype, device, gate), 3.0)
    dense = applied(ops.forecast_residual_, *args)
    x, *rest = [laid_out(argument, layout) for argument in args]
    before = rest[0].clone()
    ops.forecast_residual_(x, *rest)
    assert torch.equal(x, dense)
    assert torch.equal(rest[0], before)
    assert wrote_only(x)


@by_dtype
@pytest.mark.parametrize("orders", [1, 3, 6])
def test_weights_may_be_a_tensor(orders, dtype, device):
    inputs = make_inputs(2, 7, 40, dtype, device, orders=orders)
    weights = torch.tensor(reference.taylor_weights(3.0, orders), device=device)
    by_tensor = applied(ops.forecast_residual_, *inputs, weights)
    assert torch.equal(by_tensor, applied(ops.forecast_residual_, *inputs, 3.0))
    rows = applied(ops.forecast_residual_, *inputs, weights.expand(2, orders))
    assert torch.equal(rows, by_tensor)


@by_dtype
def test_rows_may_have_weights_of_their_own(dtype, device):
    x, factors, gate = make_inputs(3, 7, 40, dtype, device)
    weights = torch.randn(3, 2, device=device)
    expected = reference.forecast_residual_(x, factors, gate, weights)
    ours = applied(ops.forecast_residual_, x, factors, gate, weights)
    torch.testing.assert_close(ours, expected)


@by_mixed_dtype
@pytest.mark.parametrize("overload", ["default", "tensor"])
def test_opcheck(overload, dtype, factors_dtype, device):
    weights = torch.tensor([1.0, 2.0], device=device) if overload == "tensor" else 2.0
    gate = torch.randn(2, 24, device=device)
    args = (*make_stream(2, 5, 24, dtype, factors_dtype, device), gate, weights)
    torch.library.opcheck(getattr(torch.ops.clusca.forecast_residual_, overload), args)


@pytest.mark.parametrize("override, message", REJECTED_STREAM)
def test_rejects(override, message):
    arguments = STREAM | {"gate": None, "distance": 1.0} | override
    assert_rejected("forecast_residual_", arguments.values(), message)


@pytest.mark.parametrize("half", HALVES, ids=str)
def test_rejects_a_gate_of_the_other_half_type(half):
    x, factors = make_stream(2, 9, 4, half, half, "cpu")
    (other,) = set(HALVES) - {half}
    names = {torch.float16: "float16", torch.bfloat16: "bfloat16"}
    message = f"gate must be {names[half]} or float32, got {names[other]}"
    gate = torch.zeros(2, 4, dtype=other)
    assert_rejected("forecast_residual_", (x, factors, gate, 1.0), message)


@pytest.mark.parametrize("weights, message", REJECTED_WEIGHTS)
def test_rejects_weights(weights, message):
    arguments = STREAM | {"gate": None, "distance": weights}
    assert_rejected("forecast_residual_", arguments.values(), message, "tensor")
