"""Calls a model sample by sample: what a schedule decides by looking is then each sample's own."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.beginning import Rows
from clusca_ext.runs.inputs import latents_of

Call = tuple[Args, dict[str, Any]]

# Inputs of diffusers' models that are lists of a tensor for each block, of all rows: a list as long
# as the batch holds one entry for each row elsewhere.
BY_BLOCK = (
    "block_controlnet_hidden_states",
    "controlnet_block_samples",
    "controlnet_single_block_samples",
)


class BySample:
    """The samples of a batch, one after the other.

    Args:
        wanted: Whether calls are split at all.

    Attributes:
        sample: Index of the one whose call runs; None: the batch is not split.
        count: Samples S of the call that is split; 0: none is.
    """

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self.sample: int | None = None
        self.count = 0
        self._calls: list[Call] | None = None
        self._rows: list[list[int]] = []

    def split(
        self, description: ModelDescription, args: Args, kwargs: Kwargs, groups: Rows
    ) -> bool:
        """Whether this call is to be made sample by sample: it has more than one.

        Args:
            description: The model's.
            args: Its positional inputs.
            kwargs: Its keyword inputs.
            groups: Says into which equal, contiguous groups of rows samples repeat (guidance).
        """
        self.count, self._calls = 0, None
        if not self.wanted:
            return False
        shape = description.stream_shape
        B = shape(args, kwargs)[0] if shape else len(latents_of(description.latents(args, kwargs)))
        S = B // max(1, len(groups(args, kwargs)))
        if S < 2:
            return False
        self.count = S
        self._rows = [list(range(s, B, S)) for s in range(S)]
        whole = {name: kwargs[name] for name in description.for_all if name in kwargs}
        self._calls = [
            (_taken(args, rows, B), {**_named(kwargs, rows, B), **whole}) for rows in self._rows
        ]
        return True

    def run(self, call: Callable[..., Any]) -> Any:
        """The outputs of all samples, as one batch's; None: the call is not split."""
        calls, self._calls = self._calls, None
        if calls is None:
            return None
        outputs = []
        try:
            for self.sample, (args, kwargs) in enumerate(calls):  # noqa: B020
                outputs.append(call(*args, **kwargs))
        finally:
            self.sample = None
        order = [row for rows in self._rows for row in rows]
        return _joined(outputs, sorted(range(len(order)), key=order.__getitem__))

    def end(self) -> bool:
        """A call of the model has ended; whether it was one that was split."""
        if self.sample is not None or not self.count:
            return False
        self.count, self._calls = 0, None
        return True


def _named(kwargs: Kwargs, rows: list[int], B: int) -> dict[str, Any]:
    """The rows of keyword inputs."""
    lists = {name: kwargs[name] for name in BY_BLOCK if isinstance(kwargs.get(name), list)}
    by_block = {name: [_taken(each, rows, B) for each in value] for name, value in lists.items()}
    return {**_taken(dict(kwargs), rows, B), **by_block}


def _taken(value: Any, rows: list[int], B: int) -> Any:
    """The rows of everything that has one for each of B."""
    if isinstance(value, Tensor):
        return value[rows] if value.dim() and len(value) == B else value
    if isinstance(value, dict):
        return {key: _taken(each, rows, B) for key, each in value.items()}
    if isinstance(value, list) and len(value) == B:
        return [value[row] for row in rows]
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(_taken(each, rows, B) for each in value)
    return value


def _joined(outputs: Sequence[Any], order: list[int]) -> Any:
    """Outputs of one structure as one, its rows in an order."""
    first = outputs[0]
    if isinstance(first, Tensor):
        return torch.cat(list(outputs))[order]
    if isinstance(first, list) and len(first) * len(outputs) == len(order):
        rows = [row for output in outputs for row in output]
        return [rows[place] for place in order]
    if isinstance(first, dict):  # diffusers' outputs among them
        return type(first)(**{key: _joined([o[key] for o in outputs], order) for key in first})
    if isinstance(first, (list, tuple)):
        return type(first)(_joined(parts, order) for parts in zip(*outputs, strict=True))
    if hasattr(first, "__dataclass_fields__"):
        fields = {name: _joined([getattr(o, name) for o in outputs], order) for name in vars(first)}
        return replace(first, **fields)
    return first
