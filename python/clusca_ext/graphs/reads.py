"""What the executors of a cached step read, beside the model's inputs and weights."""

from collections.abc import Hashable, Iterator
from typing import Any

from torch import Tensor

from clusca_ext.graphs.values import Unfit, put_together, take_apart
from clusca_ext.installation import Installation

Slot = tuple[Any, str]  # an object, and the name of one of its attributes


class Reads:
    """What executors read at one step.

    Args:
        installed: The executors, when all is prepared that the step is given.

    Attributes:
        model: Theirs.
        groups: Small tensors that change from step to step, by what they are: a graph reads copies
            of them.
        lasting: Those that stay where they are while steps are cached.
        form: All else: which tensors there are, and the way that the step takes.

    Raises:
        Unfit: Something is read that no graph can.
    """

    def __init__(self, installed: Installation) -> None:
        self.model = installed.description.model
        modules, segments = installed.modules.values(), installed.segments
        self._installed = installed
        self._before: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.groups: list[list[Tensor]] = []
        self._slots: list[list[Slot]] = []
        self._forms: list[list[Hashable]] = []
        for slots in _slots(installed):
            tensors: list[Tensor] = []
            there = [(holder, name) for holder, name in slots if name in vars(holder)]
            forms = [take_apart(getattr(*slot), tensors, slot[1]) for slot in there]
            self.groups.append(tensors)
            self._slots.append(there)
            self._forms.append(forms)
        if any(track.host is not None for each in segments for track in each.tracks or ()):
            raise Unfit("sums come from the host piece by piece")
        factors = [each.feature.factors for each in modules]
        self.lasting = [each for each in factors if each is not None]
        for each in segments:
            self.lasting += [] if each.sums is None else [each.sums]
            self.lasting += each.parts or ()
            self.lasting += [track.sums for track in each.tracks or ()]
        way = tuple(
            (each.collapses, each.sums is not None, each.parts is not None, len(each.tracks or ()))
            for each in segments
        )
        correction = installed.correction
        acts = correction is not None and correction.acts
        self.form: Hashable = (tuple(map(tuple, self._forms)), way, acts)

    def remember(self) -> None:
        """The step is about to run, and will again."""
        installed = self._installed
        modules = installed.modules.values()
        features = [each.feature for each in modules]
        tracks = [track for each in installed.segments for track in each.tracks or ()]
        holders = [*installed.blocks, *modules, *features, *installed.segments, *tracks]
        owners = [vars(holder) for holder in (*holders, installed.correction) if holder is not None]
        self._before = [(owner, dict(owner)) for owner in owners]

    def begin_again(self, tensors: Iterator[Tensor] | None = None) -> None:
        """Undo what the step has left in executors.

        Args:
            tensors: What they read, in place of those of all groups.
        """
        for now, before in self._before:
            now.update(before)
        if tensors is None:
            return
        for slots, forms in zip(self._slots, self._forms, strict=True):
            for (holder, name), form in zip(slots, forms, strict=True):
                setattr(holder, name, put_together(form, tensors))


def _slots(installed: Installation) -> list[list[Slot]]:
    """By group."""
    modules, correction = installed.modules.values(), installed.correction
    return [
        [(block, "planned") for block in installed.blocks],
        [(module, "representatives") for module in modules],
        [(module, "places") for module in modules],
        [(module.feature, "weights") for module in modules],
        [(segment, "weights") for segment in installed.segments],
        [(track, "weights") for each in installed.segments for track in each.tracks or ()],
        [] if correction is None else [(correction, "cluster_ids")],
        [] if correction is None else [(correction, "gamma")],
    ]


def address(tensor: Tensor) -> Hashable:
    """Where a graph finds it."""
    return tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()
