import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clusca_ext import ops, reference
from errors import assert_rejected
from factor_cases import FACTORS, REJECTED_FACTORS, REJECTED_SHARED_FACTORS
from inputs import (
    DTYPES,
    EXAMPLES,
    LAYOUTS,
    SEEDS,
    SIZES,
    applied,
    by_dtype,
    by_layout,
    by_token_shape,
    laid_out,
    make_whole,
    wrote_only,
)


def make_inputs(B, N, D, dtype, device, orders=3):
    factors = torch.randn(orders, B, N, D, dtype=dtype, device=device)
    return factors, torch.randn(B, N, D, dtype=dtype, device=device)


@by_dtype
@by_token_shape
@pytest.mark.parametrize("history", [0, 1, None])
def test_matches_reference(B, N, D, dtype, history, device):
    args = (*make_inputs(B, N, D, dtype, device), 3.0, history)
    expected = reference.taylor_update_(*args)
    torch.testing.assert_close(applied(ops.taylor_update_, *args), expected)


@by_dtype
@pytest.mark.parametrize("orders", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("spacing", [0.5, -2.0])
def test_every_order_matches_reference(orders, spacing, dtype, device):
    args = (*make_inputs(2, 5, 40, dtype, device, orders), spacing)
    expected = reference.taylor_update_(*args)
    torch.testing.assert_close(applied(ops.taylor_update_, *args), expected)


@pytest.mark.parametrize("feature_dtype", DTYPES, ids=str)
@by_dtype
def test_feature_may_be_of_another_dtype(feature_dtype, dtype, device):
    factors, _ = make_inputs(2, 5, 40, dtype, device)
    feature = torch.randn(2, 5, 40, dtype=feature_dtype, device=device)
    expected = reference.taylor_update_(factors, feature, 3.0)
    torch.testing.assert_close(applied(ops.taylor_update_, factors, feature, 3.0), expected)


@by_dtype
def test_order_0_is_the_feature(dtype, device):
    factors, feature = make_inputs(2, 5, 129, dtype, device)
    assert torch.equal(applied(ops.taylor_update_, factors, feature, 3.0)[0], feature)


@by_dtype
def test_a_straight_line_has_its_slope_and_no_curvature(dtype, device):
    start, slope = torch.randint(-4, 5, (2, 2, 5, 40), device=device).to(dtype)
    factors = torch.full((4, 2, 5, 40), float("nan"), dtype=dtype, device=device)
    for history, step in enumerate([0, 4, 8, 12]):  # whole numbers: exact in every dtype
        ops.taylor_update_(factors, start + slope * step, 4.0, history)
    expected = torch.stack([start + 12 * slope, slope, 0 * slope, 0 * slope])
    assert torch.equal(factors, expected)


@by_dtype
def test_rounds_once(dtype, device):
    factors = make_whole(3, 2, 33, 129, dtype=dtype, device=device)
    feature = make_whole(2, 33, 129, dtype=torch.float32, device=device) / 2**8
    expected = reference.taylor_update_(factors, feature, 4.0)
    assert torch.equal(applied(ops.taylor_update_, factors, feature, 4.0), expected)


@by_dtype
@pytest.mark.parametrize("history", [0, 1, 2])
def test_orders_beyond_history_are_zero_and_not_read(history, dtype, device):
    factors, feature = make_inputs(2, 5, 129, dtype, device, orders=4)
    clean = applied(ops.taylor_update_, factors, feature, 3.0, history)
    factors[history:] = float("nan")
    updated = applied(ops.taylor_update_, factors, feature, 3.0, history)
    assert torch.equal(updated, clean)
    known = history + 1
    assert updated[:known].flatten(1).any(dim=1).all()
    assert not updated[known:].any()


@pytest.mark.parametrize("spacing", [0.0, float("nan"), float("inf")])
@pytest.mark.parametrize("orders, history", [(1, None), (3, 0)])
def test_spacing_is_not_read_without_a_past(orders, history, spacing, device):
    factors, feature = make_inputs(2, 5, 40, torch.float32, device, orders)
    updated = applied(ops.taylor_update_, factors, feature, spacing, history)
    assert torch.equal(updated[0], feature)
    assert not updated[1:].any()


@by_dtype
def test_history_above_the_order_is_all_of_it(dtype, device):
    args = (*make_inputs(2, 5, 40, dtype, device), 3.0)
    long = applied(ops.taylor_update_, *args, 2**40)
    assert torch.equal(long, applied(ops.taylor_update_, *args))


@by_dtype
def test_a_batch_equals_its_rows(dtype, device):
    factors, feature = make_inputs(3, 5, 129, dtype, device)
    batch = applied(ops.taylor_update_, factors, feature, 3.0)
    for b in range(3):
        only = slice(b, b + 1)
        row = applied(ops.taylor_update_, factors[:, only], feature[only], 3.0)
        assert torch.equal(row[:, 0], batch[:, b])


@by_dtype
@by_layout
def test_layout_does_not_matter_and_nothing_else_is_written(layout, dtype, device):
    factors, feature = make_inputs(2, 33, 40, dtype, device)
    dense = applied(ops.taylor_update_, factors, feature, 3.0)
    view = laid_out(factors, layout)
    ops.taylor_update_(view, laid_out(feature, layout), 3.0)
    assert torch.equal(view, dense)
    assert wrote_only(view)


@by_dtype
@pytest.mark.parametrize("history", [0, 1, None])
def test_rates_may_be_a_tensor(history, dtype, device):
    factors, feature = make_inputs(2, 5, 40, dtype, device)
    known = 2 if history is None else history
    rates = torch.tensor([0.25] * known + [0.0] * (2 - known), device=device)
    by_tensor = applied(ops.taylor_update_, factors, feature, rates)
    assert torch.equal(by_tensor, applied(ops.taylor_update_, factors, feature, 4.0, history))
    torch.testing.assert_close(by_tensor, reference.taylor_update_(factors, feature, rates))


@EXAMPLES
@given(
    SIZES,
    SEEDS,
    *map(st.sampled_from, (DTYPES, DTYPES, LAYOUTS)),
    st.integers(1, 8),
    st.none() | st.integers(0, 9),
    st.sampled_from([-3.0, 0.7, 1.0, 5.0]),
)
def test_any_input_matches_reference(
    device, sizes, seed, dtype, feature_dtype, layout, orders, history, spacing
):
    B, N, _, D = sizes
    torch.manual_seed(seed)
    factors, feature = make_inputs(B, N, D, dtype, device, orders)
    feature = feature.to(feature_dtype)
    view = laid_out(factors, layout)
    ops.taylor_update_(view, laid_out(feature, layout), spacing, history)
    torch.testing.assert_close(view, reference.taylor_update_(factors, feature, spacing, history))
    assert wrote_only(view)


@by_dtype
@pytest.mark.parametrize("overload", ["default", "tensor"])
def test_opcheck(overload, dtype, device):
    rates = (torch.tensor([0.5, 0.0], device=device),)
    rest = rates if overload == "tensor" else (2.0, 1)
    args = (*make_inputs(2, 5, 24, dtype, device), *rest)
    torch.library.opcheck(getattr(torch.ops.clusca.taylor_update_, overload), args)


ARGUMENTS = {"factors": FACTORS, "feature": torch.zeros(2, 9, 4)}


@pytest.mark.parametrize(
    "override, message",
    [
        *REJECTED_FACTORS,
        *REJECTED_SHARED_FACTORS,
        (
            {"feature": torch.zeros(2, 8, 4)},
            "feature must have shape [2, 9, 4], got [2, 8, 4]",
        ),
        (
            {"feature": torch.zeros(2, 9, 4).long()},
            "feature must be float32, float16 or bfloat16, got int64",
        ),
        (
            {"feature": torch.zeros(2, 4, 9).mT},
            "feature must be dense in its last dimension, got stride 9",
        ),
        ({"spacing": 0.0}, "spacing must be finite and not 0, got 0"),
        ({"spacing": float("inf")}, "spacing must be finite and not 0, got inf"),
        ({"spacing": float("nan")}, "spacing must be finite and not 0, got nan"),
        ({"history": -1}, "history must be at least 0, got -1"),
    ],
)
def test_rejects(override, message):
    arguments = ARGUMENTS | {"spacing": 1.0, "history": None} | override
    assert_rejected("taylor_update_", arguments.values(), message)


@pytest.mark.parametrize(
    "rates, message",
    [
        (torch.zeros(3), "rates must have shape [2], got [3]"),
        (torch.zeros(2).double(), "rates must be float32, got float64"),
        (torch.zeros(4)[::2], "rates must be dense in its last dimension, got stride 2"),
    ],
)
def test_rejects_rates(rates, message):
    arguments = ARGUMENTS | {"spacing": rates}
    assert_rejected("taylor_update_", arguments.values(), message, "tensor")
