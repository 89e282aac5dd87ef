"""What a forecaster is: weights of finite differences, or of outputs.

Forecasters of the first kind weight the differences ``F_0 .. F_O`` that ``ops.taylor_update_``
takes, and know of the past only how long the last gap was. Those of the second say what they take
of the outputs themselves, given all gaps. Distances count steps.
"""

from typing import Any, Protocol, TypeAlias, runtime_checkable

from clusca_ext.checks import integer, part

MAX_ORDER = 7  # the operators take eight factors


class OfDifferences(Protocol):
    """A forecast ``sum_i w_i F_i`` of the finite differences."""

    @property
    def order(self) -> int:
        """Highest order O of the differences: O + 1 outputs are kept."""

    def weights(self, distance: int, spacing: int | None) -> tuple[float, ...]:
        """The ``O + 1`` weights.

        Args:
            distance: Steps since the module was last computed, at least 1.
            spacing: Steps between its last two computations; None after the first. Differences
                that history does not reach are zero, whatever their weight.
        """


@runtime_checkable
class OfOutputs(Protocol):
    """A forecast ``sum_j a_j F(T_j)`` of the outputs, the last one first."""

    @property
    def order(self) -> int:
        """O, where at most O + 1 outputs are used, and kept."""

    def shares(self, distance: int, spacings: tuple[int, ...]) -> tuple[float, ...]:
        """What the forecast takes of each output: one more than there are spacings, of sum 1.

        Args:
            distance: Steps since the module was last computed, at least 1.
            spacings: Steps between its last computations, the last ones first; at most O.
        """


Forecaster: TypeAlias = OfDifferences | OfOutputs


def reuse(order: int) -> tuple[float, ...]:
    """The last output as it is: weights of order 0, or shares of the outputs. [order + 1]"""
    return (1.0, *([0.0] * order))


def is_beyond(distance: int, spacing: int | None) -> bool:
    """Whether a forecast would reach further than the differences it is made of."""
    return spacing is None or distance > spacing


def require_forecaster(name: str, value: Any) -> None:
    """Raise where a value is of neither kind."""
    part(name, value, "shares" if hasattr(value, "shares") else "weights")
    integer(f"order of {name}", getattr(value, "order", None), 0, MAX_ORDER)
