"""Stands in for what embeds the timestep, to show its embedding."""

from collections.abc import Callable
from typing import Any

from clusca_ext.executor.stand_in import StandIn


class EmbedderExecutor(StandIn):
    """Calls the module, as its blocks' executors call theirs: compiled code sees no hooks.

    Args:
        stands_for: The module.
        keep: Is given what it returns.
    """

    def __init__(self, stands_for: Any, keep: Callable[[Any], None]) -> None:
        super().__init__(stands_for)
        self.keep = keep

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = self.original(*args, **kwargs)
        self.keep(output)
        return output
