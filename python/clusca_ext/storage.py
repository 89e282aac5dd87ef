"""WHERE: the cached features of every module, and when they were taken."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Clock:
    """When a module was computed. Modules have clocks of their own: masks refresh them apart.

    Attributes:
        last: Step of its last computation; None before the first.
        spacing: Steps between the last two; None before the second.
        count: Computations so far.
    """

    last: int | None = None
    spacing: int | None = None
    count: int = 0

    def tick(self, step: int) -> None:
        self.spacing = None if self.last is None else step - self.last
        self.last = step
        self.count += 1


class Feature:
    """The Taylor factors of one module of one block, per block storage's unit.

    What compiled code touches of it are tensors only: numbers that change from step to step lie in
    ``rates`` and ``weights``, so that no step needs a graph of its own.

    Attributes:
        factors: Finite differences of order 0 to O, in the module's dtype; None until it has been
            computed for the first time. [O+1, B, N, D]
        rates: ``1 / spacing`` for every order that has a past, else 0; what the next computation
            differs by. float32 [O]
        weights: The forecast's weights at this step. float32 [O+1]
        dtype: Of the factors; None: the module's. Autocast's own where that is on: the stream may
            be of no higher precision.
        clock: When the module was computed.
    """

    def __init__(self, order: int) -> None:
        self.order = order
        self.dtype: torch.dtype | None = None
        self.factors: Tensor | None = None
        self.rates: Tensor
        self.weights: Tensor
        self.clock = Clock()

    @property
    def tokens(self) -> int:
        """Tokens N; 0 before there is memory for them."""
        return 0 if self.factors is None else self.factors.shape[2]

    def known_rates(self, step: int) -> tuple[float, ...]:
        """The rates of a computation at ``step``."""
        spacing = 0 if self.clock.last is None else step - self.clock.last
        return tuple(1 / spacing if i < self.clock.count else 0.0 for i in range(self.order))

    def allocate(self, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Memory for the factors of a module that returns ``shape`` [B, N, D]."""
        if len(shape) != 3:
            raise ValueError(f"a cached module must return [B, N, D], got {list(shape)}")
        self.factors = like.new_empty((self.order + 1, *shape), dtype=self.dtype or like.dtype)
        return self.factors

    def restart(self) -> None:
        """Forget the past; the memory stays for a run of the same shape."""
        self.clock = Clock()

    def __deepcopy__(self, memo: object) -> "Feature":
        """A copy of a cached model is not cached: it needs no memory."""
        return Feature(self.order)

    def release(self) -> None:
        self.factors = None
        self.clock = Clock()


class DeviceConstants:
    """Small float32 tensors of given values, made once: a new one costs no host sync."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._made: dict[tuple[float, ...], Tensor] = {}

    def of(self, values: tuple[float, ...]) -> Tensor:
        if values not in self._made:
            tensor = torch.tensor(values, dtype=torch.float32)
            if self.device.type == "cuda":
                tensor = tensor.pin_memory().to(self.device, non_blocking=True)
            self._made[values] = tensor
        return self._made[values]


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """What autocast computes in; None where it is off."""
    on = torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if on else None
