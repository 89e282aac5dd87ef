"""How much memory a run needs, and where in it everything lies."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from clusca_ext.storage.lean.arena import Arena, Wanted, size_of
from clusca_ext.storage.lean.rows import Rows
from clusca_ext.storage.lean.sums import Sums

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Room:
    """The parts of a run's memory.

    Attributes:
        sums: Of every segment.
        rows: Of representatives; None: none are computed.
    """

    sums: Sequence[Sums]
    rows: Rows | None

    def wanted(self) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        parts: list[Wanted] = [each.wanted() for each in self.sums]
        if self.rows is not None:
            parts.append(self.rows.wanted())
        return {name: each for part in parts for name, each in part.items()}

    def take(self, arena: Arena, device: torch.device, words: str) -> None:
        """Take all of it at once.

        Raises:
            torch.OutOfMemoryError: There is not so much; it names a smaller setting.
        """
        wanted = self.wanted()
        try:
            memory = arena.take(wanted, device)
        except torch.OutOfMemoryError as error:
            raise torch.OutOfMemoryError(_too_large(size_of(wanted), words, error)) from None
        for each in self.sums:
            each.place(memory)
        if self.rows is not None:
            self.rows.place(memory)


def sums_of(
    shapes: Sequence[Shape],
    added: Sequence[int],
    slots: int,
    dtype: torch.dtype,
    merges: bool,
    offload: bool,
) -> list[Sums]:
    """Sums of segments of streams of these shapes.

    Args:
        shapes: Of every segment's stream [B, N, D].
        added: Sums C of every segment that one full step adds to.
        slots: Full steps whose sums are kept, O + 1; 1 where all add to the same.
        dtype: Of the streams.
        merges: Whether full steps add to the same sums.
        offload: Whether they are kept on the host.
    """
    slots = 1 if merges else slots
    return [
        Sums(f"segment {index}", shape, count, slots, dtype, merges, offload)
        for index, (shape, count) in enumerate(zip(shapes, added, strict=True))
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
