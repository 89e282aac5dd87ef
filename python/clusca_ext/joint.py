"""What a mask computes of blocks that attend to text beside their stream.

Cached steps do not update text: it cannot be known at such a step without computing all in front of
it. What attends to it is given the text of the last full step.
"""

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters.description import Args, BlockDescription, Kwargs
from clusca_ext.block_inputs import Found, OtherStream
from clusca_ext.executor import BlockExecutor, ModuleExecutor

CountBeside = Callable[[BlockDescription], int]


class Joint:
    """One block's modules that a mask has the block's own forward compute.

    Args:
        index: Of the block.
        block: Its executor.
        modules: Those of its modules.

    Attributes:
        texts: Of the branch that calls, the text of its last full step, by block; None: the call is
            no step.
    """

    def __init__(self, index: int, block: BlockExecutor, modules: list[ModuleExecutor]) -> None:
        self._index, self._block, self._modules = index, block, modules
        self._other = OtherStream(block.description)
        self.texts: dict[int, Tensor] | None = None
        self._count: CountBeside | None = None
        for module in modules:
            module.joint = True

    def install(self) -> None:
        block = self._block
        block.join = torch.compiler.disable(self._compute)
        if block.description.other is not None:
            block.keep_text = torch.compiler.disable(self._keep)
            block.keeps_text = True

    def begin(self, texts: dict[int, Tensor], count: CountBeside) -> None:
        """A call of the model begins that does a step.

        Args:
            texts: Of its branch.
            count: Says how many tokens of text lie in front of a block's own, in one stream.
        """
        self.texts, self._count = texts, count

    def settle(self) -> None:
        """It forecasts some modules."""
        self._block.joins = any(module.computed for module in self._modules)

    def end(self) -> None:
        """It has ended, whether or not it was done: nothing of it is held."""
        self.texts = self._count = None
        for module in self._modules:
            module.joined = None

    @property
    def _beside(self) -> int:
        assert self._count is not None  # the call does a step
        return self._count(self._block.description)

    def _keep(self, args: Args, kwargs: Kwargs) -> None:
        if self.texts is None:
            return
        text = self._other.of(args, kwargs, self._beside)
        if text is not None:
            self.texts[self._index] = text

    @torch.no_grad()
    def _compute(self, args: Args, kwargs: Kwargs) -> None:
        """Run the block's own forward until all that is due has returned."""
        assert self.texts is not None  # only a step substitutes blocks
        due = [module for module in self._modules if module.computed]
        later = [m for m in self._block.modules if m.computed and m not in due]
        text = self.texts.get(self._index)
        args, kwargs = self._other.given(text, args, kwargs, self._beside)

        def look(module: nn.Module, given: Args, output: Any) -> None:
            if all(each.joined is not None for each in due):
                raise Found

        for each in later:  # what they return here is not what they are to
            each.computed = False
        for each in due:
            each.joins, each.joined = True, None
        # After the hooks of the executors, which come first.
        handles = [each.module.register_forward_hook(look) for each in due]
        try:
            self._block.original(*args, **kwargs)
        except Found:
            return
        finally:
            for each, handle in zip(due, handles, strict=True):
                each.joins = False
                handle.remove()
            for each in later:
                each.computed = True
        for each in due:
            if each.joined is None:
                raise ValueError(
                    f"module {each.description.name!r} of block {self._index} must be called once "
                    "in a step that computes it, got 0 calls"
                )


def joints_of(blocks: list[BlockExecutor], masked: Collection[tuple[int, str]]) -> list[Joint]:
    """Of all blocks, those of which masks compute what only their own forward can.

    Args:
        blocks: All of the model's.
        masked: Modules that some step computes while others are forecast.
    """
    found = []
    for index, block in enumerate(blocks):
        modules = [
            module
            for module in block.modules
            if module.description.by_forward and (index, module.description.name) in masked
        ]
        if modules:
            found.append(Joint(index, block, modules))
    return found
