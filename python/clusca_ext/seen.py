"""Memory of what a schedule or a score of tokens compares with, beside what is cached."""

from collections.abc import Sequence
from math import prod

import torch

from clusca_ext.config import ClusCaConfig
from clusca_ext.correction.scores import reads_change
from clusca_ext.correction.tokens import TokenCorrector
from clusca_ext.schedule import Signal

# With the same of an earlier step, as the timestep's embedding is, which is small.
COMPARED = ("modulated input", "first block", "residual")


def seen(
    config: ClusCaConfig, shapes: Sequence[tuple[int, int, int]], dtype: torch.dtype
) -> dict[str, int]:
    """Bytes, by what they are for.

    Args:
        config: Whose schedule and corrector look.
        shapes: Of every block's stream. [B, N, D]
        dtype: Of the stream.
    """
    parts = {}
    signal: Signal | None = getattr(config.schedule, "signal", None)
    if signal is not None and signal.kind in COMPARED:
        index = 0
        if signal.kind == "residual":
            index = len(shapes) // 2 if signal.block is None else signal.block
        parts["seen by the schedule"] = prod(shapes[index]) * dtype.itemsize
    corrector = config.corrector
    if isinstance(corrector, TokenCorrector) and reads_change(corrector.scores):
        # Rows of guidance that share a sample's choices keep only one of them: this is the most.
        parts["seen by token scores"] = prod(shapes[-1]) * dtype.itemsize
    return parts
