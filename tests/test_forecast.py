"""A forecaster is its weights."""

import numpy
import pytest
import torch

from clusca_ext import (
    DampedForecaster,
    FrequencyForecaster,
    HermiteForecaster,
    NewtonForecaster,
    ReuseForecaster,
    SpacedHermiteForecaster,
    TaylorForecaster,
    reference,
)
from clusca_ext.forecast import OfOutputs, differences, shares_of, weights_of

UNEVEN = (3, 1, 5, 2, 4, 1, 2)
UNBOUNDED = [
    ReuseForecaster(),
    TaylorForecaster(order=3, bounded=False),
    HermiteForecaster(order=2, bounded=False),
    SpacedHermiteForecaster(order=3, bounded=False),
    SpacedHermiteForecaster(order=2, bounded=False, unit="spacing"),
    NewtonForecaster(order=3, bounded=False),
    DampedForecaster(forecaster=NewtonForecaster(order=2, bounded=False), eta=0.5),
    FrequencyForecaster(forecaster=NewtonForecaster(order=2, bounded=False)),
]


def steps_of(spacings):
    """Of outputs, the last one at 0."""
    return -numpy.cumsum([0, *spacings])


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


@pytest.mark.parametrize("degree", range(8))
def test_newton_is_exact_on_polynomials_of_its_degree(degree):
    spacings = UNEVEN[:degree]
    polynomial = numpy.polynomial.Polynomial([0.5, -1, 0.3, 0.2, -0.1, 0.03, 0.01, -0.002])
    polynomial = polynomial.cutdeg(degree)
    outputs = polynomial(steps_of(spacings))
    for distance in (1, 2, 7):
        got = NewtonForecaster(order=degree, bounded=False).shares(distance, spacings)
        assert got @ outputs == pytest.approx(polynomial(distance), rel=1e-7)


@pytest.mark.parametrize("count", range(5))
def test_newton_uses_as_much_history_as_there_is(count):
    """The interpolating polynomial by Lagrange, written out."""
    steps = steps_of(UNEVEN[:count])
    expected = [
        numpy.prod([(2 - t) / (steps[j] - t) for t in numpy.delete(steps, j)])
        for j in range(count + 1)
    ]
    got = NewtonForecaster(order=6, bounded=False).shares(2, UNEVEN[:count])
    assert got == pytest.approx(expected)


@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("spacings", [(), (3,)], ids=str)
@pytest.mark.parametrize("distance", [1, 3, 4])
def test_newton_of_order_1_is_taylor(bounded, spacings, distance):
    got = NewtonForecaster(order=1, bounded=bounded).shares(distance, spacings)
    assert got == pytest.approx(shares_of(TaylorForecaster(bounded=bounded), distance, spacings))


def test_spaced_hermite_is_hermite_at_even_spacings():
    for order in range(6):
        spaced = SpacedHermiteForecaster(order=order, sigma=0.6)
        expected = shares_of(HermiteForecaster(order=order, sigma=0.6), 3, (4,) * order)
        assert spaced.shares(3, (4,) * order) == pytest.approx(expected)


def test_spaced_hermite_takes_derivatives_at_uneven_spacings():
    """Of a parabola, whose derivatives at the last step are its coefficients."""
    a, b, c, d, s = 0.3, -2.0, 0.7, 2, 0.7
    steps = steps_of((3, 1))
    got = SpacedHermiteForecaster(sigma=s).shares(d, (3, 1)) @ (a + b * steps + c * steps**2)
    slope = b + c * -3  # between the last two outputs
    assert got == pytest.approx(a + 2 * s**2 * d * slope + (4 * s**4 * d**2 - 2 * s**2) * c)


def test_spaced_hermite_by_spacing_does_not_count_steps():
    forecaster = SpacedHermiteForecaster(order=3, unit="spacing")
    assert forecaster.shares(6, (9, 3, 6)) == pytest.approx(forecaster.shares(2, (3, 1, 2)))
    steps = SpacedHermiteForecaster(order=3)
    assert steps.shares(6, (9, 3, 6)) != pytest.approx(steps.shares(2, (3, 1, 2)), rel=0.1)


def test_damping_is_by_order():
    damped = DampedForecaster(forecaster=TaylorForecaster(order=3), eta=0.5)
    expected = (1, 2 / 2, 2 / 4, 8 / 6 / 8)
    assert weights_of(damped, 2, (5, 3, 4)) == pytest.approx(expected)
    assert DampedForecaster(eta=0).shares(2, (5,)) == (1.0, 0.0)
    undamped = NewtonForecaster(order=2)
    assert DampedForecaster(forecaster=undamped, eta=1).shares(2, (5, 3)) == pytest.approx(
        undamped.shares(2, (5, 3))
    )


@pytest.mark.parametrize("count", range(4))
@pytest.mark.parametrize("forecaster", UNBOUNDED, ids=str)
def test_outputs_and_differences_are_taken_alike(forecaster, count):
    """Shares sum to 1, and the weights solved from them give them back."""
    spacings = UNEVEN[: min(count, forecaster.order)]
    shares = shares_of(forecaster, 4, spacings)
    assert sum(shares) == pytest.approx(1)
    outputs = numpy.random.default_rng(0).normal(size=len(shares))
    factors = differences(spacings) @ outputs
    assert weights_of(forecaster, 4, spacings) @ factors == pytest.approx(shares @ outputs)


@pytest.mark.parametrize(
    "forecaster",
    [
        NewtonForecaster(order=2),
        SpacedHermiteForecaster(),
        DampedForecaster(forecaster=NewtonForecaster(order=2)),
        FrequencyForecaster(),
    ],
    ids=str,
)
def test_bounded_outputs_are_reused_beyond_their_spacing(forecaster):
    assert isinstance(forecaster, OfOutputs) and forecaster.order == 2
    assert forecaster.shares(4, (3, 9)) == (1.0, 0.0, 0.0)
    assert forecaster.shares(4, ()) == (1.0,)
    assert forecaster.shares(3, (3, 9)) != (1.0, 0.0, 0.0)


def test_a_forecaster_of_ones_own_must_take_of_every_output():
    class Short:
        order = 2

        def shares(self, distance, spacings):
            return (1.0, 0.0)

    with pytest.raises(ValueError, match="shares of .* must be 3 for 2 spacings, got 2"):
        shares_of(Short(), 1, (1, 1))


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
        (lambda: HermiteForecaster(sigma=float("nan")), "sigma must be a finite number, got nan"),
        (lambda: HermiteForecaster(sigma=0.0), r"sigma must be in \(0, 1\], got 0.0"),
        (lambda: HermiteForecaster(sigma=1.5), r"sigma must be in \(0, 1\], got 1.5"),
        (lambda: NewtonForecaster(order=8), r"order must be an integer in \[0, 7\], got 8"),
        (lambda: NewtonForecaster(bounded=1), "bounded must be True or False, got 1"),
        (lambda: SpacedHermiteForecaster(sigma=0), r"sigma must be in \(0, 1\], got 0"),
        (lambda: SpacedHermiteForecaster(unit="day"), "unit must be one of .* got 'day'"),
        (lambda: DampedForecaster(eta=1.1), r"eta must be in \[0, 1\], got 1.1"),
        (lambda: DampedForecaster(eta=None), "eta must be a number, got None"),
        (lambda: DampedForecaster(forecaster=3), "forecaster must be an object .* got 3"),
        (lambda: DampedForecaster(forecaster=NewtonForecaster), "object with a method shares"),
        (lambda: DampedForecaster(forecaster=FrequencyForecaster()), "must not split freq"),
        (lambda: FrequencyForecaster(forecaster=FrequencyForecaster()), "must not split freq"),
        (lambda: FrequencyForecaster(forecaster=None), "forecaster must be an object .* got None"),
        (lambda: FrequencyForecaster(low_band=-0.1), r"low_band must be in \[0, 1\], got -0.1"),
        (lambda: FrequencyForecaster(low_band="0"), "low_band must be a number, got '0'"),
    ],
)
def test_rejects(make, message):
    with pytest.raises(ValueError, match=message):
        make()
