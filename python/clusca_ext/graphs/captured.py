"""One graph: of a cached step, with copies of what changes from step to step."""

from collections.abc import Hashable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from clusca_ext.adapters.description import Args, Kwargs
from clusca_ext.graphs.copies import Copies, Layout, Spans
from clusca_ext.graphs.reads import Reads, address
from clusca_ext.graphs.values import Unfit, put_together, require_plain, take_apart


class Recording(Protocol):
    """What was captured."""

    def replay(self) -> None:
        """Do it again, in the same memory."""


class CachedStep:
    """A step that is about to run.

    Args:
        args: Inputs of the model.
        kwargs: Inputs of the model.
        reads: What executors read.
        device: Where the model is.
        like: How the tensors of a step lay that may be like this one.

    Attributes:
        key: Equal for steps that one graph stands for, as far as their tensors say.
        spans: The memory of all tensors that change from step to step.

    Raises:
        Unfit: A graph could not be given these tensors.
    """

    def __init__(
        self, args: Args, kwargs: Kwargs, reads: Reads, device: torch.device, like: Layout | None
    ) -> None:
        self.reads = reads
        self._inputs: list[Tensor] = []
        inputs = [(f"input {index}", value) for index, value in enumerate(args)]
        inputs += [(f"input {name!r}", value) for name, value in kwargs.items()]
        self._forms = [take_apart(value, self._inputs, where) for where, value in inputs]
        self._count, self._names = len(args), list(kwargs)
        require_plain(self._inputs, device, "the model's input")
        for tensors in (*reads.groups, reads.lasting):
            require_plain(tensors, device, "the cache")
        self.spans = Spans([self._inputs, *reads.groups], like)
        forms = self._count, tuple(self._names), tuple(self._forms), reads.form
        self.key: Hashable = (forms, self.spans.layout, tuple(map(address, reads.lasting)))

    def with_copies(self, copies: Copies) -> tuple[Args, Kwargs, Iterator[Tensor]]:
        """The model's inputs and what executors read, all copies."""
        tensors = iter(copies.tensors)
        values = [put_together(form, tensors) for form in self._forms]
        kwargs = dict(zip(self._names, values[self._count :], strict=True))
        return tuple(values[: self._count]), kwargs, tensors


class CapturedStep:
    """A graph, and the memory it reads and writes."""

    recording: Recording
    _form: TreeSpec
    _outputs: list[Any]

    def __init__(self, step: CachedStep) -> None:
        self.copies = Copies(step.spans)

    def finish(self, recording: Recording, output: Any) -> None:
        """What was captured, and the output that it writes."""
        self.recording = recording
        self._outputs, self._form = tree_flatten(output)
        for value in self._outputs:
            try:
                take_apart(value, [], "the model's output")
            except Unfit as why:
                raise Unfit(f"{why}: its tensors are not found") from None

    def replay(self, step: CachedStep) -> Any:
        """The output of a step, in memory of its own."""
        self.copies.fill(step.spans)
        self.recording.replay()
        new: dict[int, Tensor] = {}
        for value in self._outputs:
            if isinstance(value, Tensor) and id(value) not in new:
                new[id(value)] = value.clone()
        return tree_unflatten([new.get(id(value), value) for value in self._outputs], self._form)


def are_same(a: Any, b: Any) -> bool:
    """Whether two outputs agree in every bit. Waits for the device."""
    ours, theirs = tree_flatten(a)[0], tree_flatten(b)[0]
    return len(ours) == len(theirs) and all(map(_is_same, ours, theirs))


def _is_same(a: Any, b: Any) -> bool:
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return bool(a == b)
    return (a.shape, a.dtype) == (b.shape, b.dtype) and torch.equal(_bits(a), _bits(b))


def _bits(tensor: Tensor) -> Tensor:
    real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return real.reshape(-1).view(torch.uint8)
