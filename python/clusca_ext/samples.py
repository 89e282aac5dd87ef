"""Calls a model sample by sample: what a schedule decides by looking is then each sample's own.

Where its signal decides a step, a sample is called twice: first as far as that is seen, so that the
host reads those of all samples at once; then to do the step.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.beginning import Rows
from clusca_ext.block_inputs import Found
from clusca_ext.checks import seeds_of_samples
from clusca_ext.fitting import require_decided
from clusca_ext.runs.inputs import latents_of

Call = tuple[Args, dict[str, Any]]
Decides = Callable[[Args, Kwargs], bool]


class BySample:
    """The samples of a batch, one after the other.

    Args:
        wanted: Whether calls are split at all.
        seeds: How many sample seeds there are; one is for all.

    Attributes:
        sample: Index of the one whose call runs; None: the batch is not split.
        count: Samples S of the call that is split; 0: none is.
        looks: The call that runs ends where its signal is seen.
    """

    def __init__(self, wanted: bool, seeds: int = 1) -> None:
        self.wanted, self._seeds = wanted, seeds
        self.sample: int | None = None
        self.looks = False
        self._groups: dict[int, int] = {}  # G of a run's calls of B rows
        self._forget()

    def begin_run(self) -> None:
        """How rows pair up is asked anew: it may have to be read on the host."""
        self._groups.clear()

    def _forget(self) -> None:
        self.count = 0
        self._calls: list[Call] | None = None
        self._decide: Decides | None = None

    def split(
        self,
        description: ModelDescription,
        args: Args,
        kwargs: Kwargs,
        groups: Rows,
        decide: Decides,
    ) -> bool:
        """Whether this call is to be made sample by sample: it has more than one.

        Args:
            description: The model's.
            args: Its positional inputs.
            kwargs: Its keyword inputs.
            groups: Says into which equal, contiguous groups of rows samples repeat (guidance).
            decide: A sample's step begins, with its inputs; whether it is decided.
        """
        self._forget()
        if not self.wanted:
            return False
        shape = description.stream_shape
        B = shape(args, kwargs)[0] if shape else len(latents_of(description.latents(args, kwargs)))
        if B not in self._groups:
            self._groups[B] = max(1, len(groups(args, kwargs)))
        G = self._groups[B]
        if B % G:
            raise ValueError(f"cfg_rows names {G} equal groups, got {B} rows")
        S = B // G
        if S < 2:
            return False
        seeds_of_samples(self._seeds, S)
        self.count, self._decide = S, decide
        named = [_named(description, kwargs, slice(s, None, S), B) for s in range(S)]
        self._calls = [(_taken(args, slice(s, None, S), B), named[s]) for s in range(S)]
        return True

    def run(self, call: Callable[..., Any]) -> Any:
        """The outputs of all samples, as one batch's; None: the call is not split."""
        calls, decide = self._calls, self._decide
        self._calls = self._decide = None
        if calls is None or decide is None:
            return None
        try:
            for self.sample, (args, kwargs) in enumerate(calls):  # noqa: B020
                if not decide(args, kwargs):
                    self._look(call, args, kwargs)
            outputs = []
            for self.sample, (args, kwargs) in enumerate(calls):  # noqa: B020
                outputs.append(call(*args, **kwargs))
        finally:
            self.sample = None
        return _joined(outputs)

    def _look(self, call: Callable[..., Any], args: Args, kwargs: Kwargs) -> None:
        self.looks = True
        try:
            call(*args, **kwargs)
            require_decided(False)
        except Found:
            pass
        finally:
            self.looks = False

    def end(self) -> bool:
        """A call of the model has ended; whether it was one that was split."""
        if self.sample is not None or not self.count:
            return False
        self._forget()
        return True


def _named(description: ModelDescription, kwargs: Kwargs, rows: slice, B: int) -> dict[str, Any]:
    """The rows of keyword inputs."""
    taken: dict[str, Any] = {}
    for name, value in kwargs.items():
        if name in description.for_all:
            taken[name] = value
        elif name in description.by_block and isinstance(value, list):
            taken[name] = [_taken(each, rows, B) for each in value]
        else:
            taken[name] = _taken(value, rows, B)
    return taken


def _taken(value: Any, rows: slice, B: int) -> Any:
    """The rows of everything that has one for each of B; on a device, nobody waits for it."""
    if isinstance(value, Tensor):
        return value[rows].contiguous() if value.dim() and len(value) == B else value
    if isinstance(value, dict):
        return {
            # Two IP-Adapters of a batch of two: a list of batches, of which each gives its rows.
            key: [_taken(t, rows, B) for t in each]
            if _of_batches(each, B)
            else _taken(each, rows, B)
            for key, each in value.items()
        }
    if isinstance(value, list) and len(value) == B:
        return value[rows]
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(_taken(each, rows, B) for each in value)
    return value


def _of_batches(values: Any, B: int) -> bool:
    """Whether it is a list of tensors that each have a row for each of B."""
    return isinstance(values, list) and all(
        isinstance(each, Tensor) and each.dim() > 1 and len(each) == B for each in values
    )


def _joined(outputs: Sequence[Any]) -> Any:
    """Outputs of one structure, a sample each, as a batch's: its groups one after the other."""
    first = outputs[0]
    if isinstance(first, Tensor):
        return torch.stack(list(outputs), dim=1).flatten(0, 1)
    if isinstance(first, list):
        return [row for group in zip(*outputs, strict=True) for row in group]
    if isinstance(first, dict):  # diffusers' outputs among them
        return type(first)(**{key: _joined([o[key] for o in outputs]) for key in first})
    if isinstance(first, tuple):
        return type(first)(_joined(parts) for parts in zip(*outputs, strict=True))
    if hasattr(first, "__dataclass_fields__"):
        fields = {name: _joined([getattr(o, name) for o in outputs]) for name in vars(first)}
        return replace(first, **fields)
    return first
