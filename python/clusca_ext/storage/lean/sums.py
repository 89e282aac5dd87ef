"""Sums of some tokens: accumulators of the running full step, and what cached steps read."""

import math

import torch
from torch import Tensor

from clusca_ext.storage.host import HostTensor
from clusca_ext.storage.lean.arena import Wanted
from clusca_ext.storage.low_band import LowBand


class Sums:
    """Sums of all modules of a segment, of all its tokens or of a group.

    They are accumulated in float32 and rounded once, to the stream's dtype, when their full step
    ends. Sums that several full steps add to stay in float32: rounded, they would be kept twice. So
    do those of float16, which holds up to 65,504, where the stream itself stays below.

    Args:
        name: In the arena.
        begin: First token.
        shape: Of its tokens [B, N, D].
        added: Sums C that one full step adds to.
        slots: Full steps whose sums are kept, O + 1; 1 where all add to the same.
        dtype: Of the stream.
        merges: Whether full steps add to the same sums.
        offload: Whether they are kept on the host.

    Attributes:
        kept: What cached steps read, slot by slot; where that lies on the host, a piece of it.
            [J, B, N, D]
        tokens: Which of the segment's it is of.
        host: All of it, where it lies there; else None.
        accumulators: What the running full step adds to. float32 [C, B, N, D]
    """

    kept: Tensor
    accumulators: Tensor

    def __init__(
        self,
        name: str,
        begin: int,
        shape: tuple[int, int, int],
        added: int,
        slots: int,
        dtype: torch.dtype,
        merges: bool,
        offload: bool,
    ) -> None:
        self.tokens = slice(begin, begin + shape[1])
        self.shape, self.added, self._slots, self._name = shape, added, slots, name
        self._dtype = torch.float32 if merges or dtype == torch.float16 else dtype
        self._offload = offload
        self.host: HostTensor | None = None

    @property
    def has_accumulators(self) -> bool:
        """Whether a full step adds to memory of its own."""
        return self._dtype != torch.float32 or self._offload

    def wanted(self) -> Wanted:
        kept: tuple[int, ...] = (self.added * self._slots, *self.shape)
        if self._offload:
            kept = HostTensor.staged(kept)
        wanted = {f"{self._name} sums": (kept, self._dtype)}
        if self.has_accumulators:
            wanted[f"{self._name} accumulators"] = ((self.added, *self.shape), torch.float32)
        return wanted

    def host_bytes(self) -> int:
        """What lies on the host, when there is room."""
        size = self.added * self._slots * math.prod(self.shape) * self._dtype.itemsize
        return size if self._offload else 0

    def place(self, memory: dict[str, Tensor], hosts: dict[str, HostTensor]) -> None:
        """Lie in the arena's memory, and in the host's, which there may be from a run before.

        Sums are of weight 0 until they are written, which NaN would survive.
        """
        self.kept = memory[f"{self._name} sums"]
        self.kept.zero_()
        if self._offload:
            shape, host = (self.added * self._slots, *self.shape), hosts.get(self._name)
            if host is None or not host.fits(shape, self.kept):
                hosts[self._name] = host = HostTensor(shape, self.kept)
            else:
                host.zero_()
            host.stage(self.kept)
            self.host = host
        if self.has_accumulators:
            self.accumulators = memory[f"{self._name} accumulators"]

    def begin(self, index: int, fresh: list[int] | None) -> None:
        """A full step begins, by index, and begins some of its C sums anew; None: all of them."""
        if not self.has_accumulators:
            self.accumulators = self.kept[self._slot(index)]
        if fresh is None:
            self.accumulators.zero_()
        for place in fresh or ():
            self.accumulators[place].zero_()

    def finish(self, index: int, low_band: LowBand | None = None) -> None:
        """It has ended; sums of others take the low frequencies of its own."""
        if self.host is not None:
            self.host.store(self._slot(index), self.accumulators)
        elif self.has_accumulators:
            self.kept[self._slot(index)].copy_(self.accumulators)
        if low_band is not None:
            last = self.kept[self._slot(index)]
            for age in range(1, min(self._slots, index + 1)):
                for old, new in zip(self.kept[self._slot(index - age)], last, strict=True):
                    low_band.share_(old, new)

    def by_sum(self, kept: Tensor) -> list[Tensor]:
        """Each of the C sums, of all slots. [O + 1, B, N, D]"""
        return list(kept.unflatten(0, (self._slots, self.added)).unbind(1))

    def _slot(self, index: int) -> slice:
        first = index % self._slots * self.added
        return slice(first, first + self.added)
