"""Copies of tensors that change from step to step, in memory that stays.

Many of them are views of few: of a plan's modulation a step reads some rows, chunk by chunk. So not
tensors are copied but the spans of memory they cover, each once, all in one call.
"""

from collections.abc import Hashable, Sequence
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


class Spans:
    """The memory that tensors cover.

    Attributes:
        flat: Every span, [elements].
        layout: Equal for other tensors if copies of these can take their values.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        numbers: dict[int, int] = {}
        which = tuple(numbers.setdefault(id(tensor), len(numbers)) for tensor in tensors)
        distinct = list({id(tensor): tensor for tensor in tensors}.values())
        stores: dict[Hashable, list[int]] = {}
        for index, tensor in enumerate(distinct):
            store = tensor.untyped_storage().data_ptr(), tensor.dtype, tensor.device
            stores.setdefault(store, []).append(index)
        self.flat: list[Tensor] = []
        places: dict[int, Place] = {}
        for members in stores.values():
            members.sort(key=lambda index: distinct[index].storage_offset())
            for group in _touching([distinct[index] for index in members]):
                first = group[0].storage_offset()
                end = max(map(_end, group))
                self.flat.append(group[0].as_strided((end - first,), (1,), first))
                for tensor in group:
                    offset = tensor.storage_offset() - first
                    place = Place(len(self.flat) - 1, offset, tensor.shape, tensor.stride())
                    places[numbers[id(tensor)]] = place
        kinds = tuple((flat.dtype, len(flat)) for flat in self.flat)
        self._which, self._places = which, [places[index] for index in range(len(places))]
        self.layout: Hashable = (which, tuple(self._places), kinds)


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
            for place in spans._places
        ]
        self.tensors = [views[index] for index in spans._which]

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
        if tensor.storage_offset() > end:
            groups.append([])
        groups[-1].append(tensor)
        end = max(end, _end(tensor)) if len(groups[-1]) > 1 else _end(tensor)
    return groups


def _end(tensor: Tensor) -> int:
    """The first element of its storage behind it."""
    if tensor.numel() == 0:
        return tensor.storage_offset()
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    return tensor.storage_offset() + 1 + sum((size - 1) * stride for size, stride in steps)
