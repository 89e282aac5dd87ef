"""Stands in for a block's forward on cached steps."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, BlockDescription, Kwargs, Modulation
from clusca_ext.executor.module import ModuleExecutor
from clusca_ext.executor.segment import Segment
from clusca_ext.executor.stand_in import StandIn

Asks = Callable[["BlockExecutor", Args, Kwargs], None]
HALF = torch.finfo(torch.float16).max


class BlockExecutor(StandIn):
    """Stands in for a block's forward.

    What is called in between has a flag beside it. Compiled code is bound neither to hooks nor to
    whether there is a function that it may not look into: what was compiled without one would run
    where there is one.

    Args:
        description: The block's.
        modules: Its modules' executors.
        copies: Its input must be left alone.

    Attributes:
        substituted: Whether this step forecasts any module of the model; else the block's own
            forward runs, untouched.
        planned: This step's modulation where it was computed beforehand; else None.
        segment: The segment it belongs to; None: it adds its updates itself.
        is_last: Of its segment.
        look: Called, if ``looks``, before the block's own forward of a step that computes all, with
            the block's inputs.
        enter: Called, if ``enters``, at every call, before it is known what the step is.
        verify: Called, if ``verifies``, on steps that forecast it, with its inputs, before they are
            written to.
        compare: Called with the forecast stream of a step that was verified.
        keep_text: Called, if ``keeps_text``, before the block's own forward of a step that computes
            all, with the block's inputs.
        join: Called, if ``joins``, on steps that compute some of its modules by its own forward.
        has_source: Whether a hook keeps some block's stream of full steps.
    """

    look: Asks
    enter: Asks
    verify: Asks
    compare: Callable[[Tensor], None]
    keep_text: Callable[[Args, Kwargs], None]
    join: Callable[[Args, Kwargs], None]

    def __init__(
        self, description: BlockDescription, modules: list[ModuleExecutor], copies: bool
    ) -> None:
        super().__init__(description.block)
        self.description = description
        self.block = description.block
        self.planned: Sequence[Modulation] | None = None
        self.modules = modules
        self.copies = copies
        self.substituted = self.is_last = False
        self.segment: Segment | None = None
        self.looks = self.enters = self.verifies = self.has_source = False
        self.keeps_text = self.joins = False

    def remove(self) -> None:
        """Restore the block, and let go what is called: that holds the blocks, too."""
        self.substituted = self.looks = self.enters = self.verifies = False
        self.keeps_text = self.joins = False
        for name in ("look", "enter", "verify", "compare", "keep_text", "join"):
            vars(self).pop(name, None)
        super().remove()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.enters:
            self.enter(self, args, kwargs)
        if not self.substituted:
            if self.looks:
                self.look(self, args, kwargs)
            if self.keeps_text:
                self.keep_text(args, kwargs)
            if self.has_source:
                pass  # to do here, but for compiled code, which does not ask for hooks
            return self.original(*args, **kwargs)
        if self.verifies:
            self.verify(self, args, kwargs)
        if self.joins:
            self.join(args, kwargs)
        x = self.description.stream(args, kwargs)
        segment = self.segment if self.segment is not None and self.segment.collapses else None
        # A segment leaves its input alone. Convolutions leave the stream with channels outside.
        if x.stride(-1) != 1 or (self.copies and segment is None):
            x = x.clone(memory_format=torch.contiguous_format)
        modulations = self.planned
        if segment is not None and not segment.asks(self.modules):
            modulations = [Modulation()] * len(self.modules)
        elif modulations is None:
            modulations = self.description.modulation(x, args, kwargs)
        if segment is None:
            for module, modulation in zip(self.modules, modulations, strict=True):
                module.apply(x, modulation, args, kwargs)
            x = self._clipped(x)
        else:
            segment.wait(x, self.modules, modulations)
            x = self._clipped(segment.settle(x, args, kwargs)) if self.is_last else x
        if self.verifies:
            self.compare(x)
        return self.description.returns(x, args, kwargs)

    def _clipped(self, x: Tensor) -> Tensor:
        is_half = x.dtype == torch.float16
        return x.clip_(-HALF, HALF) if self.description.clips and is_half else x
