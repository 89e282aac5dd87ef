"""What a device finds out, told to the host without waiting."""

import torch
from torch import Tensor


class DeviceCheck:
    """Whether something held at every step so far.

    Args:
        device: Where it is looked at.
    """

    def __init__(self, device: torch.device) -> None:
        on_device = device.type == "cuda"
        with torch.inference_mode(False):  # else they could not be written outside of it
            self._broken = torch.zeros((), dtype=torch.bool, device=device)
            self._told = torch.zeros((), dtype=torch.bool, device="cpu", pin_memory=on_device)
        self._telling = torch.cuda.Event() if on_device else None
        self._looked = self._was_told = False

    def look(self, held: Tensor) -> None:
        """One more step, 0-dim bool on the device."""
        self._broken.logical_or_(held.logical_not())
        if self._looked and not self._arrived():
            return  # the next one tells of this one too
        self._told.copy_(self._broken, non_blocking=True)
        if self._telling is not None:
            self._telling.record(torch.cuda.current_stream(held.device))
        self._looked = True

    @property
    def held(self) -> bool | None:
        """False once some step broke it, True while none has; None: nothing has been told yet."""
        if not self._looked or not (self._arrived() or self._was_told):
            return None
        self._was_told = True
        return not bool(self._told)

    def _arrived(self) -> bool:
        return self._telling is None or self._telling.query()
