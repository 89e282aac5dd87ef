"""A forecaster is its weights."""

import pytest
import torch

from clusca_ext import HermiteForecaster, ReuseForecaster, TaylorForecaster, reference


def test_reuse():
    assert ReuseForecaster().order == 0
    assert ReuseForecaster().weights(7, None) == (1.0,)


def test_taylor():
    assert TaylorForecaster(order=4).weights(2, 5) == pytest.approx((1, 2, 2, 8 / 6, 16 / 24))


def test_hermite_is_its_formula_at_order_2():
    d, s = 3, 0.7
    expected = (1, 2 * s**2 * d, 2 * s**4 * d**2 - s**2)
    assert HermiteForecaster().weights(d, 5) == pytest.approx(expected)


def test_hermite_follows_the_polynomials():
    x = torch.tensor(0.6 * 2, dtype=torch.float64)
    polynomials = [torch.special.hermite_polynomial_h(x, i).item() for i in range(6)]
    factorials = [1, 1, 2, 6, 24, 120]
    expected = [0.6**i * polynomials[i] / factorials[i] for i in range(6)]
    weights = HermiteForecaster(order=5, sigma=0.6).weights(2, 5)
    assert weights == pytest.approx(expected)


@pytest.mark.parametrize("forecaster", [TaylorForecaster(order=2), HermiteForecaster(order=2)])
def test_bounded_reuses_beyond_its_spacing(forecaster):
    assert forecaster.weights(4, 3) == (1.0, 0.0, 0.0)
    assert forecaster.weights(1, None) == (1.0, 0.0, 0.0)
    assert forecaster.weights(3, 3) != (1.0, 0.0, 0.0)


def test_unbounded_goes_on():
    assert TaylorForecaster(order=1, bounded=False).weights(9, 1) == (1.0, 9.0)
    assert HermiteForecaster(order=1, bounded=False).weights(9, 1) != (1.0, 0.0)


def test_taylor_is_exact_on_a_line():
    factors = torch.zeros(2, 1, 3, 4)
    at = lambda t: 2.0 * torch.arange(12.0).view(1, 3, 4) * t - 1  # noqa: E731
    for history, t in enumerate((0, 5)):
        factors = reference.taylor_update_(factors, at(t), 5.0, history)
    weights = torch.tensor(TaylorForecaster(order=1).weights(3, 5))
    torch.testing.assert_close(reference.taylor_forecast(factors, weights), at(8))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: TaylorForecaster(order=-1), r"order must be an integer in \[0, 7\], got -1"),
        (lambda: TaylorForecaster(order=8), r"order must be an integer in \[0, 7\], got 8"),
        (lambda: TaylorForecaster(bounded="false"), "bounded must be True or False, got 'false'"),
        (lambda: HermiteForecaster(order=1.0), "order must be an integer .* got 1.0"),
        (lambda: HermiteForecaster(order=8), "order must be an integer .* got 8"),
        (lambda: HermiteForecaster(bounded=None), "bounded must be True or False, got None"),
        (lambda: HermiteForecaster(sigma="0.7"), "sigma must be a number, got '0.7'"),
        (lambda: HermiteForecaster(sigma=True), "sigma must be a number, got True"),
        (lambda: HermiteForecaster(sigma=-0.5), r"sigma must be in \(0, 1\], got -0.5"),
        (lambda: HermiteForecaster(sigma=float("nan")), r"sigma must be in \(0, 1\], got nan"),
        (lambda: HermiteForecaster(sigma=0.0), r"sigma must be in \(0, 1\], got 0.0"),
        (lambda: HermiteForecaster(sigma=1.5), r"sigma must be in \(0, 1\], got 1.5"),
    ],
)
def test_rejects(make, message):
    with pytest.raises(ValueError, match=message):
        make()
