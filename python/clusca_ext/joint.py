"""What a mask computes of blocks that attend to text beside their stream.

Cached steps do not update text: it cannot be known at such a step without computing all in front of
it. What attends to it is given the text of the last full step.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.block_inputs import Found, OtherStream
from clusca_ext.executor import BlockExecutor


class Joint:
    """One block's modules that only its own forward can compute, from its inputs.

    Args:
        index: Of the block.
        block: Its executor.

    Attributes:
        texts: Of the branch that calls, the text of its last full step, by block.
        beside: Tokens of it in front of the block's own, in one stream.
    """

    texts: dict[int, Tensor]

    def __init__(self, index: int, block: BlockExecutor) -> None:
        self._index, self._block = index, block
        self._other = OtherStream(block.description)
        self._modules = [module for module in block.modules if module.description.by_forward]
        self.texts, self.beside = {}, 0
        for module in self._modules:
            module.joint = True

    def install(self) -> None:
        block = self._block
        block.keep_text = torch.compiler.disable(self._keep)
        block.join = torch.compiler.disable(self._compute)
        block.keeps_text = True

    def begin(
        self, texts: dict[int, Tensor], model: ModelDescription, args: Args, kwargs: Kwargs
    ) -> None:
        """A call of the model begins.

        Args:
            texts: Of its branch.
            model: The model's description.
            args: The model's positional inputs.
            kwargs: Its keyword inputs.
        """
        self.texts = texts
        self.beside = model.tokens_beside(self._block.description, args, kwargs)

    def settle(self) -> None:
        """It forecasts some modules."""
        self._block.joins = any(module.computed for module in self._modules)

    def end(self) -> None:
        """It has ended: a branch may give back what it holds."""
        self.texts = {}

    def _keep(self, args: Args, kwargs: Kwargs) -> None:
        text = self._other.of(args, kwargs, self.beside)
        if text is not None:
            self.texts[self._index] = text

    @torch.no_grad()
    def _compute(self, args: Args, kwargs: Kwargs) -> None:
        """Run the block's own forward until all that is due has returned."""
        due = [module for module in self._modules if module.computed]
        text = self.texts.get(self._index)
        args, kwargs = self._other.given(text, args, kwargs, self.beside)

        def look(module: nn.Module, given: Args, output: Any) -> None:
            if all(each.joined is not None for each in due):
                raise Found

        for each in due:
            each.joins = True
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
        raise ValueError(
            f"module {due[-1].description.name!r} of block {self._index} must be called once in a "
            "step that computes it, got 0 calls"
        )


def joints_of(blocks: Mapping[int, BlockExecutor]) -> list[Joint]:
    """Of all blocks, by index, that have such modules."""
    return [
        Joint(index, block)
        for index, block in blocks.items()
        if any(module.description.by_forward for module in block.modules)
    ]
