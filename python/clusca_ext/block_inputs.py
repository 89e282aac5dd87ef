"""What a block is given: its modulated input, and one input in place of another."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters.description import Args, BlockDescription, Kwargs
from clusca_ext.adapters.inputs import named_input


class Found(Exception):
    """A forward has got as far as it is needed."""


def first_read(
    description: BlockDescription, forward: Callable[..., Any], args: Args, kwargs: Kwargs
) -> Tensor:
    """A block's modulated input, as the block itself makes it."""
    found: list[Tensor] = []

    def look(module: nn.Module, given: Args, named: Kwargs) -> None:
        tensors = [each for each in (*given, *named.values()) if isinstance(each, Tensor)]
        found.append(named.get("hidden_states", tensors[0]))
        raise Found

    reads = description.reads
    module = description.modules[0].module if reads is None else reads
    handle = module.register_forward_pre_hook(look, with_kwargs=True, prepend=True)
    try:
        forward(*args, **kwargs)
    except Found:
        return found[0]
    finally:
        handle.remove()
    raise ValueError(
        f"module {description.modules[0].name!r} of the first block must be called by its forward"
    )


class OtherStream:
    """Another stream, such as text, that blocks update and hand on, and cached steps do not.

    Args:
        block: Whose input it is; it may have none.
    """

    def __init__(self, block: BlockDescription) -> None:
        self._input = None if block.other is None else Input(block.block, block.other)

    def of(self, args: Args, kwargs: Kwargs, beside: int) -> Tensor | None:
        """A copy of what a block is given of it; None: it has none.

        Blocks hand text on as a part of a stream that also holds the image, and may write to it.

        Args:
            args: The block's.
            kwargs: The block's.
            beside: Tokens of it in front of the block's own, in one stream; 0: it comes apart.
        """
        if self._input is None:
            return None
        other: Tensor = self._input.find(args, kwargs)
        return (other[:, :beside] if beside else other).clone()

    def given(
        self, other: Tensor | None, args: Args, kwargs: Kwargs, beside: int
    ) -> tuple[Args, Kwargs]:
        """A block's inputs with that of another call in its place; None: as they are."""
        if other is None or self._input is None:
            return args, kwargs
        if beside:
            other = torch.cat([other, self._input.find(args, kwargs)[:, beside:]], dim=1)
        return self._input.exchanged(other, args, kwargs)


class Input:
    """An input of a module's forward, which is given by position or name."""

    def __init__(self, module: nn.Module, name: str) -> None:
        names = list(inspect.signature(type(module).forward).parameters)[1:]
        self._name, self._place = name, names.index(name) if name in names else len(names)
        self.find = named_input(module, name)

    def exchanged(self, value: Any, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
        """The inputs of a call with another value for it."""
        if self._place < len(args):
            return (*args[: self._place], value, *args[self._place + 1 :]), kwargs
        return args, {**kwargs, self._name: value}
