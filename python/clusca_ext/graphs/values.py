"""The tensors in a model's inputs, and what there is beside them: the part a graph keeps."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Any

import torch
from torch import Tensor

_PLAIN = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
)


class Unfit(Exception):
    """No graph can be made of a step. The message says why, for a summary."""


def take_apart(value: Any, tensors: list[Tensor], where: str) -> Hashable:
    """Append the tensors in a value, and return all else: equal where nothing else differs.

    Raises:
        Unfit: It holds an object that might change unseen.
    """
    kind = type(value)
    if isinstance(value, Tensor):
        tensors.append(value)
        return Tensor
    if kind in _PLAIN:
        return kind, value  # True, 1 and 1.0 are equal
    if isinstance(value, (tuple, list)):
        return kind, tuple([take_apart(each, tensors, where) for each in value])
    if kind in (dict, OrderedDict):
        return kind, tuple([(key, take_apart(each, tensors, where)) for key, each in value.items()])
    raise Unfit(f"{where} is or holds a {kind.__name__}, which might change unseen")


def put_together(form: Any, tensors: Iterator[Tensor]) -> Any:
    """The value of a form ``take_apart`` returned, with these tensors in it."""
    if form is Tensor:
        return next(tensors)
    kind, parts = form
    if kind in _PLAIN:
        return parts
    if issubclass(kind, dict):
        return kind((key, put_together(part, tensors)) for key, part in parts)
    values = [put_together(part, tensors) for part in parts]
    return kind(*values) if hasattr(kind, "_fields") else kind(values)


def require_plain(tensors: list[Tensor], device: torch.device, where: str) -> None:
    """
    Raises:
        Unfit: One of them is not memory of this device and nothing else.
    """
    for tensor in tensors:
        if tensor.device != device:
            raise Unfit(f"{where} has a tensor on {tensor.device}: a graph would keep its value")
        if tensor.layout != torch.strided or tensor.is_conj() or tensor.is_neg():
            raise Unfit(f"{where} has a tensor that is not plain memory")
