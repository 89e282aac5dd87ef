"""Stands in for the forward of a first block that is computed at every step, and once."""

from collections.abc import Callable
from typing import Any

from clusca_ext.executor.block import BlockExecutor


class FirstBlockExecutor(BlockExecutor):
    """Where a step is looked at before it is done, this is what has computed the block already.

    Attributes:
        take: Gives what the step has computed; None: nothing.
        keep: Is given what the block returns.
    """

    take: Callable[[], Any]
    keep: Callable[[Any], None]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.enters:
            self.enter(self, args, kwargs)
        output = self.take()
        if output is None:
            output = self.original(*args, **kwargs)
            self.keep(output)
        return output
