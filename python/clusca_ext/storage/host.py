"""A large tensor in the host's memory, read and written by pieces while the device computes.

On CUDA the memory is pinned and the copies run on a stream of their own, one piece ahead of what
uses them. On a CPU the same pieces are copied one by one.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

PIECES = 16  # of the tokens; two of them are staged


class HostTensor:
    """[J, B, N, D] on the host.

    Args:
        shape: Its own.
        like: What it is like in dtype, and on which device pieces of it are used.

    Attributes:
        memory: The tensor.
    """

    def __init__(self, shape: tuple[int, ...], like: Tensor) -> None:
        self.device = like.device
        self.memory = torch.zeros(shape, dtype=like.dtype, device="cpu", pin_memory=like.is_cuda)
        self._stream = torch.cuda.Stream(like.device) if like.is_cuda else None
        self._free: list[torch.cuda.Event | None] = [None, None]
        self._halves: tuple[Tensor, ...] = ()

    def fits(self, shape: tuple[int, ...], like: Tensor) -> bool:
        """Whether it is what would be made of these now."""
        memory = self.memory
        writable = torch.is_inference_mode_enabled() or not memory.is_inference()
        same = memory.shape == shape and memory.dtype == like.dtype
        return same and self.device == like.device and writable

    def unstage(self) -> None:
        """Let the memory for pieces go: what the device does with it next comes after copies."""
        if self._stream is not None:
            torch.cuda.current_stream(self.device).wait_stream(self._stream)
        self._halves = ()

    def zero_(self) -> None:
        """Forget all: the host waits for copies under way."""
        if self._stream is not None:
            self._stream.synchronize()
        self.memory.zero_()

    def stage(self, memory: Tensor) -> None:
        """Use this memory on the device for two pieces; ``staged`` says its shape."""
        self._halves = memory.chunk(2, dim=2)

    @staticmethod
    def staged(shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the memory for two pieces."""
        J, B, N, D = shape
        return J, B, 2 * _piece(N), D

    def store(self, rows: slice, values: Tensor) -> None:
        """Keep some of the J tensors, rounded. [C, B, N, D]"""
        for number, (begin, stop) in enumerate(self._spans()):
            half = self._half(number, stop - begin)[: len(values)]
            self._wait_until_free(number)
            half.copy_(values[:, :, begin:stop])
            self._copy(number, self.memory[rows, :, begin:stop], half)

    def pieces(self) -> Iterator[tuple[int, int, Tensor]]:
        """First token, last, and the tensors of the tokens between, on the device."""
        for number, (begin, stop) in enumerate(self._spans()):
            half = self._half(number, stop - begin)
            self._copy(number, half, self.memory[:, :, begin:stop], to_device=True)
            yield begin, stop, half
            if self._stream is not None:
                self._free[number % 2] = _recorded(torch.cuda.current_stream(half.device))

    def _spans(self) -> list[tuple[int, int]]:
        N = self.memory.shape[2]
        piece = _piece(N)
        return [(begin, min(begin + piece, N)) for begin in range(0, N, piece)]

    def _half(self, number: int, tokens: int) -> Tensor:
        return self._halves[number % 2][:, :, :tokens]

    def _wait_until_free(self, number: int) -> None:
        event = self._free[number % 2]
        if event is not None:
            event.wait(torch.cuda.current_stream(self._halves[0].device))

    def _copy(self, number: int, to: Tensor, values: Tensor, to_device: bool = False) -> None:
        if self._stream is None:
            to.copy_(values)
            return
        current = torch.cuda.current_stream(self._halves[0].device)
        event = self._free[number % 2]
        if to_device and event is not None:
            event.wait(self._stream)
        if not to_device:
            _recorded(current).wait(self._stream)
        with torch.cuda.stream(self._stream):
            # By rows: copies between strided tensors would go through memory of torch's own.
            for one, other in zip(to.flatten(0, 1), values.flatten(0, 1), strict=True):
                one.copy_(other, non_blocking=True)
        if to_device:
            _recorded(self._stream).wait(current)
        else:
            self._free[number % 2] = _recorded(self._stream)


def unstage(hosts: Iterable[HostTensor]) -> None:
    """The device's memory that is staged for these is about to be given back, or taken anew."""
    for host in hosts:
        host.unstage()


def _piece(N: int) -> int:
    return max(1, -(-N // PIECES))


def _recorded(stream: torch.cuda.Stream) -> torch.cuda.Event:
    event = torch.cuda.Event()
    event.record(stream)
    return event
