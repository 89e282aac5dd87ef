"""Copies of tensors that change from step to step, in memory that stays.

Many of them are views of few: of a plan's modulation a step reads some rows, chunk by chunk. So not
tensors are copied but the spans of memory they cover, each once, all in one call.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Place(NamedTuple):
    """Where a tensor lies.

    Attributes:
        span: Index of the span that holds it.
        offset: Elements of the span before it.
        shape: Its own.
        stride: Its own.
    """

    span: int
    offset: int
    shape: torch.Size
    stride: tuple[int, ...]


class Layout(NamedTuple):
    """How tensors lie in the spans of memory they cover.

    Attributes:
        spans: Dtype and elements of each.
        places: Of the tensors, each once.
        which: Index of every tensor's place.
    """

    spans: tuple[tuple[torch.dtype, int], ...]
    places: tuple[Place, ...]
    which: tuple[int, ...]


class Spans:
    """The memory that tensors cover.

    Args:
        groups: Tensors. Those of one group may share memory at every step, those of two only by
            chance, as equal constants do: they have spans of their own.
        like: Of tensors that may lie alike, which is quickly seen.

    Attributes:
        flat: Every span, [elements].
        layout: Equal for other tensors if copies of these can take their values.
    """

    def __init__(self, groups: Sequence[Sequence[Tensor]], like: Layout | None = None) -> None:
        alike = None if like is None else _alike(like, [each for group in groups for each in group])
        if like is not None and alike is not None:
            self.layout, self.flat = like, alike
            return
        self.flat = []
        places: list[Place] = []
        which: list[int] = []
        for tensors in groups:
            found = self._add(tensors)
            numbers = {key: len(places) + index for index, key in enumerate(found)}
            places += found.values()
            which += [numbers[id(tensor)] for tensor in tensors]
        kinds = tuple((flat.dtype, len(flat)) for flat in self.flat)
        self.layout = Layout(kinds, tuple(places), tuple(which))

    def _add(self, tensors: Sequence[Tensor]) -> dict[int, Place]:
        """Places of tensors, by their ids."""
        distinct = {id(tensor): tensor for tensor in tensors}
        stores: dict[object, list[Tensor]] = {}
        for tensor in distinct.values():
            store = tensor.untyped_storage().data_ptr(), tensor.dtype
            stores.setdefault(store, []).append(tensor)
        places: dict[int, Place] = {}
        for members in stores.values():
            for together in _touching(sorted(members, key=_first)):
                first, end = _first(together[0]), max(map(_end, together))
                for tensor in together:
                    offset = _first(tensor) - first
                    places[id(tensor)] = Place(
                        len(self.flat), offset, tensor.shape, tensor.stride()
                    )
                self.flat.append(together[0].as_strided((end - first,), (1,), first))
        return {key: places[key] for key in distinct}


def _alike(layout: Layout, tensors: Sequence[Tensor]) -> list[Tensor] | None:
    """The spans of tensors that lie so; None: they do not."""
    if len(tensors) != len(layout.which):
        return None
    starts: dict[int, int] = {}  # addresses
    flat: dict[int, Tensor] = {}
    for index, tensor in zip(layout.which, tensors, strict=True):
        span, offset, shape, stride = layout.places[index]
        dtype, length = layout.spans[span]
        start = tensor.data_ptr() - offset * tensor.itemsize
        if span not in starts:
            first = _first(tensor) - offset
            held = tensor.untyped_storage().nbytes() // tensor.itemsize
            if first < 0 or first + length > held:
                return None
            starts[span], flat[span] = start, tensor.as_strided((length,), (1,), first)
        alike = tensor.dtype == dtype and tensor.shape == shape and tensor.stride() == stride
        if not alike or start != starts[span]:
            return None
    return [flat[span] for span in range(len(layout.spans))]


class Copies:
    """Copies of tensors, of the same shapes and strides; those of one tensor are one.

    Args:
        spans: The tensors'.

    Attributes:
        tensors: The copies.
    """

    def __init__(self, spans: Spans) -> None:
        self._flat = [flat.clone() for flat in spans.flat]
        views = [
            self._flat[place.span].as_strided(place.shape, place.stride, place.offset)
            for place in spans.layout.places
        ]
        self.tensors = [views[index] for index in spans.layout.which]

    def fill(self, spans: Spans) -> None:
        """Take the values of other tensors, of the same layout: one call for each dtype."""
        dtypes: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for ours, theirs in zip(self._flat, spans.flat, strict=True):
            both = dtypes.setdefault(ours.dtype, ([], []))
            both[0].append(ours)
            both[1].append(theirs)
        for ours_, theirs_ in dtypes.values():
            torch._foreach_copy_(ours_, theirs_)


def _touching(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Tensors of one storage, in order: those together that overlap or meet."""
    groups: list[list[Tensor]] = []
    end = -1
    for tensor in tensors:
        if _first(tensor) > end:
            groups.append([])
        groups[-1].append(tensor)
        end = max(end, _end(tensor))
    return groups


def _first(tensor: Tensor) -> int:
    """Its first element, in its storage."""
    return int(tensor.storage_offset())


def _end(tensor: Tensor) -> int:
    """The first element behind it."""
    if tensor.numel() == 0:
        return _first(tensor)
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    return _first(tensor) + 1 + sum((size - 1) * stride for size, stride in steps)
