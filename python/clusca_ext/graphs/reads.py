"""What the executors of a cached step read, beside the model's inputs and weights."""

from collections.abc import Hashable, Sequence
from typing import Any

from torch import Tensor

from clusca_ext.graphs.values import put_together, take_apart
from clusca_ext.installation import Installation

Slot = tuple[Any, str]  # an object, and the name of one of its attributes


class Reads:
    """What executors read at one step.

    Args:
        installed: The executors, when all is prepared that the step is given.

    Attributes:
        model: Theirs.
        tensors: Small ones that change from step to step: a graph reads copies of them.
        lasting: Those that stay where they are while steps are cached.
        form: All else: which tensors there are, and the way that the step takes.
    """

    def __init__(self, installed: Installation) -> None:
        self.model = installed.description.model
        modules, segments = installed.modules.values(), installed.segments
        holders = [*installed.blocks, *modules, *(each.feature for each in modules), *segments]
        if installed.correction is not None:
            holders.append(installed.correction)
        self._before = [(vars(holder), dict(vars(holder))) for holder in holders]
        self._slots = [slot for slot in _slots(installed) if slot[1] in vars(slot[0])]
        self.tensors: list[Tensor] = []
        given = tuple(
            take_apart(getattr(holder, name), self.tensors, name) for holder, name in self._slots
        )
        self._given = given
        self.lasting = [each.factors for each in modules]
        self.lasting += [each.sums for each in segments if each.sums is not None]
        way = tuple((each.collapses, each.sums is not None) for each in segments)
        self.form: Hashable = (given, way)

    def begin_again(self, tensors: Sequence[Tensor] | None = None) -> None:
        """Undo what the step has left in executors; in place of ``tensors`` they read these."""
        for now, before in self._before:
            now.update(before)
        if tensors is not None:
            values = iter(tensors)
            for (holder, name), form in zip(self._slots, self._given, strict=True):
                setattr(holder, name, put_together(form, values))


def _slots(installed: Installation) -> list[Slot]:
    slots: list[Slot] = [(block, "planned") for block in installed.blocks]
    for module in installed.modules.values():
        slots += [(module, "representatives"), (module.feature, "weights")]
    slots += [(segment, "weights") for segment in installed.segments]
    if installed.correction is not None:
        slots += [(installed.correction, name) for name in ("cluster_ids", "gamma")]
    return slots


def address(tensor: Tensor) -> Hashable:
    """Where a graph finds it."""
    return tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()
