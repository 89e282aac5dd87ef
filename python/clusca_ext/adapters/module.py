"""What an adapter says of one module of a block, whose output is cached."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]


def whole(value: Any, *_: Any) -> Any:
    """The value itself: nothing but the stream's part is in it."""
    return value


@dataclass(frozen=True, kw_only=True)
class ModuleDescription:
    """A module of a block whose output is cached, before its gate.

    Attributes:
        name: Its name in masks and in a summary.
        module: The module itself; returns [B, N, D].
        norm: The norm in front of it, without modulation; None: there is none.
        represents: Whether it treats tokens one by one, so that representatives alone can be
            computed: an MLP of its own.
        call: How the block calls it on all tokens, given the modulated tokens and the block's
            inputs; read where a mask computes it on a cached step. None: it needs more than the
            stream, as the text beside it.
        reads_input: All it reads is made of the block's inputs, whatever other modules return.
            Where ``call`` is None, a mask computes it by the block's own forward, on what the
            input that the block's ``other`` names was at the last full step.
        feature: Finds in what the module returns the [B, N, D] that belongs to the stream, given N.
        compute: What representatives' modulated rows [B, K, D] go through; default: the module.
    """

    name: str
    module: nn.Module
    norm: nn.Module | None
    represents: bool
    call: Callable[[Tensor, Args, Kwargs], Tensor] | None
    feature: Callable[[Any, int], Tensor] = whole
    compute: Callable[[Tensor], Tensor] | None = None
    reads_input: bool = False

    @property
    def by_forward(self) -> bool:
        """Whether a mask computes it by the block's own forward."""
        return self.call is None and self.reads_input

    @property
    def computable(self) -> bool:
        """Whether a mask may compute it while others are forecast."""
        return self.call is not None or self.reads_input
