"""Small tensors on a device, without waiting for it."""

import torch
from torch import Tensor


class DeviceConstants:
    """Small float32 tensors of given values, made once: a new one costs no host sync."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._made: dict[tuple[float, ...], Tensor] = {}
        self._indices: dict[tuple[int, int], Tensor] = {}

    def of(self, values: tuple[float, ...]) -> Tensor:
        if values not in self._made:
            made = torch.tensor(values, dtype=torch.float32, device="cpu")
            self._made[values] = moved(made, self.device)
        return self._made[values]

    def indices(self, first: int, count: int) -> Tensor:
        """``first, first + 1, ...``, int32."""
        if (first, count) not in self._indices:
            made = torch.arange(first, first + count, dtype=torch.int32, device="cpu")
            self._indices[first, count] = moved(made, self.device)
        return self._indices[first, count]


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device. Between host and device only the way up is free of a host sync."""
    if device.type == "cuda" and not tensor.is_cuda:
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def lacks_memory(error: RuntimeError) -> bool:
    """Whether it says that memory is not free: on a CPU there is no class for it."""
    words = "can't allocate memory", "not enough memory"
    return isinstance(error, torch.OutOfMemoryError) or any(each in str(error) for each in words)


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """What autocast computes in; None where it is off."""
    on = torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if on else None
