import pytest
import torch

from clusca_ext import ops, reference
from errors import assert_rejected
from factor_cases import FACTORS, REJECTED_FACTORS
from inputs import by_dtype, by_layout, by_token_shape, laid_out, make_whole


def make_factors(B, N, D, dtype, device, orders=2):
    return torch.randn(orders, B, N, D, dtype=dtype, device=device)


@by_dtype
@by_token_shape
@pytest.mark.parametrize("orders", [1, 2, 5])
def test_matches_reference(B, N, D, dtype, orders, device):
    args = make_factors(B, N, D, dtype, device, orders), 2.0
    torch.testing.assert_close(ops.taylor_forecast(*args), reference.taylor_forecast(*args))


@by_dtype
@pytest.mark.parametrize("orders", range(1, 9))
@pytest.mark.parametrize("distance", [-1.5, 0.0, 2.0])
def test_every_order_matches_reference(orders, distance, dtype, device):
    args = make_factors(2, 5, 600, dtype, device, orders), distance
    torch.testing.assert_close(ops.taylor_forecast(*args), reference.taylor_forecast(*args))


@by_dtype
def test_distance_0_is_the_last_feature(dtype, device):
    factors = make_factors(2, 5, 129, dtype, device, 4)
    assert torch.equal(ops.taylor_forecast(factors, 0.0), factors[0])


@by_dtype
def test_a_parabola_is_forecast_exactly(dtype, device):
    value, slope, curvature = torch.randint(-4, 5, (3, 2, 5, 40), device=device).to(dtype)
    forecast = ops.taylor_forecast(torch.stack([value, slope, 2 * curvature]), 3.0)
    assert torch.equal(forecast, value + 3 * slope + 9 * curvature)


@by_dtype
def test_rounds_once(dtype, device):
    args = make_whole(2, 2, 33, 129, dtype=dtype, device=device), 2**-8
    assert torch.equal(ops.taylor_forecast(*args), reference.taylor_forecast(*args))


@by_dtype
def test_a_batch_equals_its_rows(dtype, device):
    factors = make_factors(3, 5, 129, dtype, device, 3)
    batch = ops.taylor_forecast(factors, 3.0)
    for b in range(3):
        assert torch.equal(ops.taylor_forecast(factors[:, b : b + 1], 3.0)[0], batch[b])


@by_dtype
@by_layout
@pytest.mark.parametrize("orders", [1, 3, 6])
def test_layout_does_not_matter(layout, orders, dtype, device):
    factors = make_factors(2, 33, 40, dtype, device, orders)
    forecast = ops.taylor_forecast(laid_out(factors, layout), 3.0)
    assert forecast.is_contiguous()
    assert torch.equal(forecast, ops.taylor_forecast(factors, 3.0))


def test_factors_may_be_expanded(device):
    factors = make_factors(1, 1, 40, torch.float32, device, 3).expand(3, 2, 7, 40)
    expected = ops.taylor_forecast(factors.contiguous(), 3.0)
    assert torch.equal(ops.taylor_forecast(factors, 3.0), expected)


@by_dtype
@pytest.mark.parametrize("orders", [1, 3, 6])
def test_weights_may_be_a_tensor(orders, dtype, device):
    factors = make_factors(2, 5, 40, dtype, device, orders)
    weights = torch.tensor(reference.taylor_weights(3.0, orders), device=device)
    assert torch.equal(ops.taylor_forecast(factors, weights), ops.taylor_forecast(factors, 3.0))


@by_dtype
def test_weights_of_reuse_give_order_0(dtype, device):
    factors = make_factors(2, 5, 40, dtype, device, 3)
    weights = torch.tensor([1.0, 0.0, 0.0], device=device)
    assert torch.equal(ops.taylor_forecast(factors, weights), factors[0])


@by_dtype
@pytest.mark.parametrize("orders", [2, 5])
@by_layout
def test_rows_may_have_weights_of_their_own(layout, orders, dtype, device):
    factors = make_factors(3, 5, 40, dtype, device, orders)
    weights = torch.randn(3, orders, device=device)
    forecast = ops.taylor_forecast(factors, laid_out(weights, layout))
    torch.testing.assert_close(forecast, reference.taylor_forecast(factors, weights))
    for b in range(3):
        row = ops.taylor_forecast(factors[:, b : b + 1], weights[b])
        assert torch.equal(row[0], forecast[b])


@by_dtype
@pytest.mark.parametrize("overload", ["default", "tensor"])
def test_opcheck(overload, dtype, device):
    weights = torch.tensor([1.0, 2.0], device=device) if overload == "tensor" else 2.0
    args = make_factors(2, 5, 24, dtype, device), weights
    torch.library.opcheck(getattr(torch.ops.clusca.taylor_forecast, overload), args)


@pytest.mark.parametrize(
    "override, message",
    [
        *REJECTED_FACTORS,
        ({"distance": float("inf")}, "distance must be finite, got inf"),
        ({"distance": float("nan")}, "distance must be finite, got nan"),
    ],
)
def test_rejects(override, message):
    arguments = {"factors": FACTORS, "distance": 1.0} | override
    assert_rejected("taylor_forecast", arguments.values(), message)


@pytest.mark.parametrize(
    "weights, message",
    [
        (torch.zeros(2), "weights must have shape [3], got [2]"),
        (torch.zeros(3, 3), "weights must have shape [2, 3], got [3, 3]"),
        (torch.tensor(1.0), "weights must have shape [3], got []"),
        (torch.zeros(3).half(), "weights must be float32, got float16"),
        (torch.zeros(6)[::2], "weights must be dense in its last dimension, got stride 2"),
    ],
)
def test_rejects_weights(weights, message):
    arguments = FACTORS, weights
    assert_rejected("taylor_forecast", arguments, message, "tensor")
