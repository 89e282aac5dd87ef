"""How much features change: measured on the device, read by the host all at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Seen:
    """What one branch has been shown in its run.

    Attributes:
        before: What the next change is measured against.
        at: Step it is of.
        change: One that its schedule has not been told: as the device has it (0-dim float32), or
            as the host has read it.
        other: The text that the verified block was given at the last full step.
        texts: The text that blocks were given at the last full step, by block, where a mask
            computes what attends to it.
        output: Of the first block, where this step has computed it before it was decided.
    """

    before: Tensor | None = None
    at: int = 0
    change: Tensor | float | None = None
    other: Tensor | None = None
    texts: dict[int, Tensor] = field(default_factory=dict)
    output: Any = None

    def text_bytes(self) -> int:
        """Of what is kept of text for masks."""
        return sum(text.nbytes for text in self.texts.values())


def measured(measure: str, now: Tensor, before: Tensor) -> Tensor:
    """The change from one to the other. 0-dim float32

    Args:
        measure: As that of ``Signal``.
        now: A feature.
        before: What it was.
    """
    a, b = now.float(), before.float()
    change: Tensor
    if measure == "relative_l2":
        change = (a - b).norm() / b.norm().clamp(min=1e-10)
    elif measure == "mean_relative_l1":
        change = ((a - b).abs() / (b.abs() + 1e-10)).mean()
    else:
        change = (a - b).abs().sum() / b.abs().sum().clamp(min=1e-10)
    return change


def told(seen: Seen, every: Sequence[Seen], group: Any) -> float | None:
    """The change that a schedule is told, once; None: there is none.

    Args:
        seen: What its branch has been shown.
        every: What all branches have: the host reads their changes with this one, if it must.
        group: Ranks that must decide alike; None: this one alone.
    """
    if isinstance(seen.change, Tensor):
        changes = {
            i: each.change for i, each in enumerate(every) if isinstance(each.change, Tensor)
        }
        for i, number in zip(changes, read(list(changes.values()), group), strict=True):
            every[i].change = number
    change, seen.change = seen.change, None
    assert not isinstance(change, Tensor)
    return change


def read(changes: Sequence[Tensor], group: Any) -> list[float]:
    """On the host, which waits for the device here and nowhere else in a step.

    Args:
        changes: 0-dim float32. One that is no number is the largest of all.
        group: Each is the largest of those of its ranks.
    """
    stacked = torch.stack(list(changes)).nan_to_num(nan=torch.inf)
    if group is not None:
        torch.distributed.all_reduce(stacked, op=torch.distributed.ReduceOp.MAX, group=group)
    numbers: list[float] = stacked.tolist()
    return numbers
