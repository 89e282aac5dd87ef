"""Computes a block beside its forecast, on the steps that a schedule asks it of (SpeCa)."""

from typing import Any

import torch
from torch import Tensor

from clusca_ext import ops
from clusca_ext.adapters.description import Args, Kwargs
from clusca_ext.block_inputs import OtherStream
from clusca_ext.changes import Seen, measured
from clusca_ext.executor import BlockExecutor, ModuleExecutor
from clusca_ext.schedule import Signal


class Verifier:
    """One block's.

    Where blocks attend to a stream of text that they update, the block is given that of the last
    full step, for cached steps skip it.

    Args:
        signal: What is compared, and how.
        block: Executor of the block.
    """

    def __init__(self, signal: Signal, block: BlockExecutor) -> None:
        self._measure = signal.measure
        self._block = block.description
        self._other = OtherStream(block.description)
        # The module whose output is compared; None: the stream behind the block is.
        self._module: ModuleExecutor | None = None
        self._computed: Tensor | None = None
        self._forecast: Tensor | None = None  # of that module
        if signal.kind == "verified output":
            self._module = block.modules[-1]
            self._module.show = torch.compiler.disable(self._show)

    def remove(self) -> None:
        if self._module is not None:
            vars(self._module).pop("show", None)

    def keep_text(self, seen: Seen, args: Args, kwargs: Kwargs, beside: int) -> None:
        """Of a full step.

        Args:
            seen: Where it is kept.
            args: The block's.
            kwargs: The block's.
            beside: Tokens of another stream in front of the block's own.
        """
        seen.other = self._other.of(args, kwargs, beside)

    def compute(self, original: Any, seen: Seen, args: Args, kwargs: Kwargs, beside: int) -> None:
        """Run the block's own forward on its input of a cached step."""
        args, kwargs = self._other.given(seen.other, args, kwargs, beside)
        module = self._module
        with torch.no_grad():
            if module is None:
                self._computed = self._block.returned(original(*args, **kwargs))
                return
            # Now, for a corrector may write into what it is made of.
            self._forecast = ops.taylor_forecast(module.factors, module.feature.weights)
            module.shows = True
            try:
                original(*args, **kwargs)
            finally:
                module.shows = False

    def compare(self, forecast: Tensor, seen: Seen, beside: int) -> None:
        """The forecast, if what it is of was computed.

        Args:
            forecast: The stream behind the block. [B, N, D]
            seen: Where the change goes.
            beside: Tokens of another stream in front of the block's own.
        """
        computed, self._computed = self._computed, None
        if computed is None:
            return
        if self._forecast is not None:
            forecast, self._forecast = self._forecast, None
        own = slice(beside, None)
        seen.change = measured(self._measure, forecast[:, own], computed[:, own])

    def forget(self) -> None:
        self._computed = self._forecast = None

    def _show(self, output: Tensor) -> None:
        self._computed = output
