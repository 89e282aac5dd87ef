"""How much features change: measured on the device, read by the host all at once."""

from collections.abc import Callable, Sequence
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
    return MEASURES[measure](now.float(), before.float())


def _each(a: Tensor, b: Tensor) -> Tensor:
    """The change of every number, relative to it."""
    return (a - b) / (b.abs() + 1e-10)


# By the name that ``Signal`` explains.
MEASURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "relative_l1": lambda a, b: (a - b).abs().sum() / b.abs().sum().clamp(min=1e-10),
    "relative_l2": lambda a, b: (a - b).norm() / b.norm().clamp(min=1e-10),
    "mean_relative_l1": lambda a, b: _each(a, b).abs().mean(),
    "mean_relative_l2": lambda a, b: _each(a, b).square().mean().sqrt(),
    "mean_l1": lambda a, b: (a - b).abs().mean(),
    "mean_l2": lambda a, b: (a - b).square().mean().sqrt(),
    "cosine": lambda a, b: 1 - torch.cosine_similarity(a.flatten(), b.flatten(), dim=0),
}


def told(seen: Seen, every: Sequence[Seen], groups: Sequence[Any]) -> float | None:
    """The change that a schedule is told, once; None: there is none.

    Args:
        seen: What its branch has been shown.
        every: What all branches have: the host reads their changes with this one, if it must.
        groups: Ranks that must decide alike; none: this one alone.
    """
    if isinstance(seen.change, Tensor):
        changes = {
            i: each.change for i, each in enumerate(every) if isinstance(each.change, Tensor)
        }
        for i, number in zip(changes, read(list(changes.values()), groups), strict=True):
            every[i].change = number
    change, seen.change = seen.change, None
    assert not isinstance(change, Tensor)
    return change


def read(changes: Sequence[Tensor], groups: Sequence[Any]) -> list[float]:
    """On the host, which waits for the device here and nowhere else in a step.

    Args:
        changes: 0-dim float32. One that is no number is the largest of all.
        groups: Each is the largest of those of their ranks.
    """
    stacked = torch.stack(list(changes)).nan_to_num(nan=torch.inf, posinf=torch.inf)
    for group in groups:
        torch.distributed.all_reduce(stacked, op=torch.distributed.ReduceOp.MAX, group=group)
    numbers: list[float] = stacked.tolist()
    return numbers
