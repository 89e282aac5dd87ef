"""The memory of one run, taken at once."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from clusca_ext.storage.constants import lacks_memory

ALIGNMENT = 256  # bytes; as CUDA's allocator has it
Wanted = Mapping[str, tuple[tuple[int, ...], torch.dtype]]  # shape and dtype of every tensor


class Arena:
    """Tensors that lie in one piece of memory, which stays for the next run of the same size."""

    def __init__(self) -> None:
        self._memory: Tensor | None = None

    def bytes(self) -> int:
        return 0 if self._memory is None else self._memory.nbytes

    def take(self, wanted: Wanted, device: torch.device) -> dict[str, Tensor]:
        """The tensors, uninitialised.

        Raises:
            torch.OutOfMemoryError: There is not so much; nothing is held then.
        """
        size = size_of(wanted)
        memory = self._memory
        fits = memory is not None and memory.nbytes == size and memory.device == device
        if fits and memory is not None and memory.is_inference():
            fits = torch.is_inference_mode_enabled()  # it may not be written outside
        if not fits:
            self._memory = memory = None  # before there are two
            try:
                self._memory = torch.empty(size, dtype=torch.uint8, device=device)
            except RuntimeError as error:
                if not lacks_memory(error):
                    raise
                raise torch.OutOfMemoryError(str(error)) from None
        assert self._memory is not None
        taken, begin = {}, 0
        for name, (shape, dtype) in wanted.items():
            end = begin + math.prod(shape) * dtype.itemsize
            taken[name] = self._memory[begin:end].view(dtype).view(shape)
            begin = begin + _aligned(end - begin)
        return taken

    def release(self) -> None:
        self._memory = None


def size_of(wanted: Wanted) -> int:
    """Bytes of the tensors together."""
    return sum(_aligned(math.prod(shape) * dtype.itemsize) for shape, dtype in wanted.values())


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
