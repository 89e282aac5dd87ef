"""The cached features of a module, and when they were taken."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from clusca_ext import forecast, ops
from clusca_ext.forecast import Forecaster
from clusca_ext.storage.constants import DeviceConstants
from clusca_ext.storage.low_band import LowBand


@dataclass
class Clock:
    """When a module was computed. Modules have clocks of their own: masks refresh them apart.

    Attributes:
        steps: Of its computations in this run, the last one first.
    """

    steps: list[int] = field(default_factory=list)

    def tick(self, step: int) -> None:
        self.steps.insert(0, step)

    @property
    def count(self) -> int:
        """Computations so far."""
        return len(self.steps)

    @property
    def last(self) -> int:
        """Step of the last computation."""
        return self.steps[0]

    @property
    def spacing(self) -> int | None:
        """Steps between the last two; None before the second."""
        return next(iter(self.spacings), None)

    @property
    def spacings(self) -> list[int]:
        """Steps between one computation and the next, the last ones first."""
        return [later - earlier for later, earlier in zip(self.steps, self.steps[1:], strict=False)]


class Kept(Protocol):
    """What is cached of one module, as its executor sees it.

    Attributes:
        factors: What forecasts are weighted sums of. [L, B, N, D]
        weights: What the forecast at this step takes of each. float32 [L]
        tokens: Tokens N; 0 before they are known.
    """

    factors: Tensor | None
    weights: Tensor

    @property
    def tokens(self) -> int: ...

    def keep(self, output: Tensor) -> None:
        """Keep what the module returns. [B, N, D]"""


class Feature:
    """What is cached of one module of one block, per block storage's unit: its last O + 1 outputs.

    A forecast is a weighted sum of finite differences, and these of outputs, so that outputs are
    all that must be kept: a full step writes one of them, where Taylor factors would be read and
    written order by order, and no difference is rounded.

    What compiled code touches are tensors only: numbers that change from step to step lie in
    ``rates`` and ``weights``, the place of the next output in a view, so that no step needs a graph
    of its own.

    Args:
        order: Highest order O of the differences.

    Attributes:
        factors: The outputs, in the module's dtype, in no order; None until it has been computed
            for the first time. [O+1, B, N, D]
        target: Those of them that the next computation updates, by ``ops.taylor_update_``: the
            oldest. [1, B, N, D]
        rates: The rates of that. float32 [0]
        weights: What the forecast at this step takes of each. float32 [O+1]
        dtype: Of the factors; None: the module's. Autocast's own where that is on: the stream may
            be of no higher precision.
        clock: When the module was computed.
    """

    target: Tensor
    rates: Tensor
    weights: Tensor

    def __init__(self, order: int) -> None:
        self.order = order
        self.dtype: torch.dtype | None = None
        self.factors: Tensor | None = None
        self.clock = Clock()

    @property
    def tokens(self) -> int:
        """Tokens N; 0 before there is memory for them."""
        return 0 if self.factors is None else self.factors.shape[2]

    @property
    def last(self) -> Tensor:
        """What the module returned last, once the step of it has ended. [B, N, D]"""
        assert self.factors is not None
        return self.factors[self._place(0)]

    def allocate(self, like: Tensor, shape: tuple[int, ...]) -> None:
        """Memory for the factors of a module that returns ``shape`` [B, N, D]."""
        if len(shape) != 3:
            raise ValueError(f"a cached module must return [B, N, D], got {list(shape)}")
        self.factors = like.new_zeros((self.order + 1, *shape), dtype=self.dtype or like.dtype)
        self._aim(self.factors)

    def keep(self, output: Tensor) -> None:
        """Keep what the module returns. [B, N, D]"""
        if self.factors is None:
            self.allocate(output, output.shape)
        ops.taylor_update_(self.target, output, self.rates)

    def expect(self, step: int, on: DeviceConstants) -> None:
        """The module is computed at this step."""
        self.rates = on.of(self._rates(step))
        if self.factors is not None:
            self._aim(self.factors)

    def weights_at(self, step: int, forecaster: Forecaster) -> tuple[float, ...]:
        """What the forecast at a step takes of each factor."""
        placed = [0.0] * (self.order + 1)
        about = step - self.clock.last, self.clock.spacings[: self.order]
        for age, share in enumerate(forecast.shares_of(forecaster, *about)):
            placed[self._place(age)] = share
        return tuple(placed)

    def share_low_band(self, band: LowBand) -> None:
        """Older outputs take the low frequencies of the last."""
        assert self.factors is not None
        last = self.factors[self._place(0)]
        for age in range(1, min(self.clock.count, self.order + 1)):
            band.share_(self.factors[self._place(age)], last)

    def restart(self) -> None:
        """Forget the past; the memory stays for a run of the same shape."""
        self.clock = Clock()
        if self.factors is None:
            return
        if self.factors.is_inference() and not torch.is_inference_mode_enabled():
            self._let_go()  # memory of inference mode may not be written outside of it
        else:
            self.factors[1:].zero_()  # of weight 0 until they are written, which NaN would survive

    def release(self) -> None:
        self._let_go()
        self.clock = Clock()

    def _let_go(self) -> None:
        """Give the memory back, all of which a view of a part would hold."""
        self.factors = None
        vars(self).pop("target", None)

    def __deepcopy__(self, memo: object) -> "Feature":
        """A copy of a cached model is not cached: it needs no memory."""
        return type(self)(self.order)

    def _rates(self, step: int) -> tuple[float, ...]:
        return ()

    def _place(self, age: int) -> int:
        """Of an output among the factors, the last one's age being 0."""
        return (self.clock.count - 1 - age) % (self.order + 1)

    def _aim(self, factors: Tensor) -> None:
        oldest = self.clock.count % (self.order + 1)
        self.target = factors[oldest : oldest + 1]


class EditableFeature(Feature):
    """Where persistent corrections edit the cache: Taylor factors, of which they touch the first.

    Attributes:
        factors: Finite differences of order 0 to O. [O+1, B, N, D]
        target: All of them.
        rates: ``1 / spacing`` for every order that has a past, else 0. float32 [O]
    """

    @property
    def last(self) -> Tensor:
        assert self.factors is not None
        return self.factors[0]

    def weights_at(self, step: int, forecaster: Forecaster) -> tuple[float, ...]:
        about = step - self.clock.last, self.clock.spacings[: self.order]
        weights = forecast.weights_of(forecaster, *about)
        return (*weights, *([0.0] * (self.order + 1 - len(weights))))  # these factors are zero

    def share_low_band(self, band: LowBand) -> None:
        """Differences lose their low frequencies, as those of outputs that share them."""
        assert self.factors is not None
        for difference in self.factors[1:]:
            band.remove_(difference)

    def _rates(self, step: int) -> tuple[float, ...]:
        count = self.clock.count
        rate = 1 / (step - self.clock.last) if count else 0.0
        return tuple(rate if i < count else 0.0 for i in range(self.order))

    def _aim(self, factors: Tensor) -> None:
        self.target = factors


def weights_of(
    features: Sequence[Feature], steps: range, forecaster: Forecaster, on: DeviceConstants
) -> list[Tensor]:
    """What the forecasts of S steps take of what is kept of each module. float32 [S, O+1]"""
    made: dict[tuple[int, ...], Tensor] = {}  # by when modules were computed: mostly together
    weights = []
    for feature in features:
        past = tuple(feature.clock.steps)
        if past not in made:
            rows = [feature.weights_at(step, forecaster) for step in steps]
            made[past] = on.of(tuple(weight for row in rows for weight in row)).view(len(rows), -1)
        weights.append(made[past])
    return weights
