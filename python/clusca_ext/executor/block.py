"""Stands in for a block's forward on cached steps."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, BlockDescription, Kwargs, Modulation
from clusca_ext.executor.module import ModuleExecutor
from clusca_ext.executor.segment import Segment

Asks = Callable[["BlockExecutor", Args, Kwargs], None]
HALF = torch.finfo(torch.float16).max


class BlockExecutor:
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
        has_source: Whether a hook keeps some block's stream of full steps.
    """

    look: Asks
    enter: Asks
    verify: Asks
    compare: Callable[[Tensor], None]

    def __init__(
        self, description: BlockDescription, modules: list[ModuleExecutor], copies: bool
    ) -> None:
        self.description = description
        self.block = description.block
        self.planned: Sequence[Modulation] | None = None
        self.modules = modules
        self.copies = copies
        self.substituted = self.is_last = False
        self.segment: Segment | None = None
        self.looks = self.enters = self.verifies = self.has_source = False
        self.original: Any = None

    def install(self) -> None:
        """Stand in for the innermost forward: what wraps it, as offloading does, still runs."""
        owner, name = forwards_of(self.block)[0]
        self.original = getattr(owner, name)
        self._had_its_own = name in vars(owner)
        setattr(owner, name, self.forward)

    def remove(self) -> None:
        """Restore the block, wherever wrappers that came later keep our forward.

        What it calls is let go: that holds the blocks, too.
        """
        self.substituted = self.looks = self.enters = self.verifies = False
        for name in ("look", "enter", "verify", "compare"):
            vars(self).pop(name, None)
        for owner, name in forwards_of(self.block):
            if vars(owner).get(name) != self.forward:
                continue
            if owner is self.block and name == "forward" and not self._had_its_own:
                delattr(owner, name)
            else:
                setattr(owner, name, self.original)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.enters:
            self.enter(self, args, kwargs)
        if not self.substituted:
            if self.looks:
                self.look(self, args, kwargs)
            if self.has_source:
                pass  # to do here, but for compiled code, which does not ask for hooks
            return self.original(*args, **kwargs)
        if self.verifies:
            self.verify(self, args, kwargs)
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


def forwards_of(block: Any) -> list[tuple[Any, str]]:
    """Where a module's forward and those that wrap it are kept, innermost first."""
    places: list[tuple[Any, str]] = []
    if "_old_forward" in vars(block):  # accelerate
        places.append((block, "_old_forward"))
    registry = vars(block).get("_diffusers_hook")
    for wrapper in getattr(registry, "_fn_refs", []):
        replaced = wrapper.original_forward is not None
        places.append((wrapper, "original_forward" if replaced else "forward"))
    return [*places, (block, "forward")]
