"""How much memory a run needs, and where in it everything lies."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from clusca_ext.storage.host import HostTensor, unstage
from clusca_ext.storage.lean.arena import Arena, Wanted, size_of
from clusca_ext.storage.lean.rows import Rows
from clusca_ext.storage.lean.sums import Sums
from clusca_ext.storage.low_band import LowBand

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Room:
    """The parts of a run's memory.

    Attributes:
        sums: Of every segment, and in it of every group of tokens.
        rows: Of representatives; None: none are computed.
        low_band: What older full steps take of the last; None: nothing.
    """

    sums: Sequence[Sequence[Sums]]
    rows: Rows | None
    low_band: LowBand | None = None

    def wanted(self) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        parts: list[Wanted] = [each.wanted() for groups in self.sums for each in groups]
        if self.rows is not None:
            parts.append(self.rows.wanted())
        return {name: each for part in parts for name, each in part.items()}

    def take(
        self, arena: Arena, hosts: dict[str, HostTensor], device: torch.device, words: str
    ) -> None:
        """Take all of it at once; what lies on the host stays there from run to run.

        Raises:
            torch.OutOfMemoryError: There is not so much; it names a smaller setting.
        """
        wanted = self.wanted()
        unstage(hosts.values())  # copies of a run before may still read what is taken anew
        try:
            memory = arena.take(wanted, device)
        except torch.OutOfMemoryError as error:
            raise torch.OutOfMemoryError(_too_large(size_of(wanted), words, error)) from None
        for groups in self.sums:
            for each in groups:
                each.place(memory, hosts)
        if self.rows is not None:
            self.rows.place(memory)

    def finish(self, index: int) -> None:
        """A full step of the run has ended, by index: what it summed is kept."""
        for groups in self.sums:
            for each in groups:
                each.finish(index, self.low_band)


def sums_of(
    shape: Shape,
    added: Sequence[tuple[int, int]],
    slots: int,
    dtype: torch.dtype,
    merges: bool,
    offload: bool,
    name: str,
) -> list[Sums]:
    """Sums of a segment, for every group of its tokens.

    Args:
        shape: Of its stream [B, N, D].
        added: Of every group the first token, and the sums C that one full step adds to.
        slots: Full steps whose sums are kept, O + 1; 1 where all add to the same.
        dtype: Of the stream.
        merges: Whether full steps add to the same sums.
        offload: Whether they are kept on the host.
        name: Of the segment, in the arena.
    """
    B, N, D = shape
    stops = [*(begin for begin, _ in added[1:]), N]
    slots = 1 if merges else slots
    return [
        Sums(f"{name} {begin}", begin, (B, stop - begin, D), C, slots, dtype, merges, offload)
        for (begin, C), stop in zip(added, stops, strict=True)
    ]


def _too_large(size: int, words: str, error: Exception) -> str:
    smaller = {
        "exact": 'LeanStorage(basis="window")',
        "window": "LeanStorage(rank=1) or LeanStorage(offload=True)",
        "shared-emb": "LeanStorage(offload=True) or a forecaster of order 0",
        "gated": 'LeanStorage(basis="gated", offload=True) or a forecaster of order 0',
    }
    basis = words.split()[0].rstrip(":;")
    return (
        f"the cache needs {size / 2**30:.2f} GiB for a run, which are not free: take "
        f"{smaller.get(basis, 'fewer tokens')}, or a smaller batch, instead of {words}. Nothing "
        f"is held. ({error})"
    )
