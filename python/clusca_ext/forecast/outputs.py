"""From differences to outputs and back: what a forecast takes of either."""

from collections.abc import Callable, Sequence

from clusca_ext.forecast.forecaster import Forecaster, OfOutputs


def differences(spacings: Sequence[float]) -> list[list[float]]:
    """Finite differences as sums of outputs: row i holds what F_i takes of each, the last first.

    ``F_i(t_0) = (F_i-1(t_0) - F_i-1(t_1)) / (t_0 - t_1)``, as ``ops.taylor_update_`` takes them.

    Args:
        spacings: ``t_0 - t_1, t_1 - t_2, ...``
    """
    return _differences(spacings, lambda i, j: spacings[j])


def divided_differences(spacings: Sequence[float]) -> list[list[float]]:
    """The same of Newton's: ``[F_0..F_i] = ([F_0..F_i-1] - [F_1..F_i]) / (t_0 - t_i)``.

    They equal ``F_i / i!`` at even spacings.
    """
    return _differences(spacings, lambda i, j: sum(spacings[j : j + i]))


def _differences(
    spacings: Sequence[float], between: Callable[[int, int], float]
) -> list[list[float]]:
    """Rows of differences of order i, each over what is between the j-th and the one before."""
    count = len(spacings) + 1
    each = [[float(i == j) for j in range(count)] for i in range(count)]  # of one order, at all t
    rows = [each[0]]
    for i in range(1, count):
        each = [
            [(a - b) / between(i, j) for a, b in zip(each[j], each[j + 1], strict=True)]
            for j in range(len(each) - 1)
        ]
        rows.append(each[0])
    return rows


def combined(weights: Sequence[float], rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """What a weighted sum of differences, given as rows, takes of each output."""
    taken = [0.0] * len(rows)
    for weight, row in zip(weights, rows, strict=False):
        for age, share in enumerate(row):
            taken[age] += weight * share
    return tuple(taken)


def shares_of(forecaster: Forecaster, distance: int, spacings: Sequence[int]) -> tuple[float, ...]:
    """What a forecast takes of each output, the last one first.

    Args:
        forecaster: Of either kind.
        distance: Steps since the last output.
        spacings: Steps between outputs, the last ones first; at most ``order``.

    Raises:
        ValueError: A forecaster of outputs does not say what it takes of each.
    """
    if not isinstance(forecaster, OfOutputs):
        weights = forecaster.weights(distance, spacings[0] if spacings else None)
        return combined(weights, differences(spacings))
    shares = forecaster.shares(distance, tuple(spacings))
    if len(shares) != len(spacings) + 1:
        raise ValueError(
            f"shares of {forecaster!r} must be {len(spacings) + 1} for {len(spacings)} spacings, "
            f"got {len(shares)}"
        )
    return shares


def weights_of(forecaster: Forecaster, distance: int, spacings: Sequence[int]) -> tuple[float, ...]:
    """What a forecast takes of each finite difference ``F_0 .. F_i``, as far as there are any.

    The shares of a forecaster of outputs are ``a_j = sum_i w_i m_ij`` with ``F_i = sum_j m_ij
    F(T_j)``, where ``m`` is triangular: solved from the highest order down.
    """
    if not isinstance(forecaster, OfOutputs):
        return forecaster.weights(distance, spacings[0] if spacings else None)[: len(spacings) + 1]
    left, rows = list(shares_of(forecaster, distance, spacings)), differences(spacings)
    weights = [0.0] * len(rows)
    for i in reversed(range(len(rows))):
        weights[i] = left[i] / rows[i][i]
        left = [a - weights[i] * m for a, m in zip(left, rows[i], strict=True)]
    return tuple(weights)
