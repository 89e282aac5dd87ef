"""What a schedule that adapts is shown of a step: how much a feature has changed."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    ModelDescription,
    named_input,
)
from clusca_ext.executor import BlockExecutor
from clusca_ext.schedule import Adapting, Decision, Signal, Step


@dataclass
class Seen:
    """What one branch has been shown in its run.

    Attributes:
        before: What the next change is measured against.
        at: Step it is of.
        change: That of the last step, which its schedule has not been told. 0-dim float32
        other: The text that the verified block was given at the last full step.
    """

    before: Tensor | None = None
    at: int = 0
    change: Tensor | None = None
    other: Tensor | None = None


class Probe:
    """Looks at one feature of every step, and tells the schedule.

    Args:
        signal: What the schedule asks for.
        description: The model's, with all its blocks.
        process_group: Ranks that must decide alike: all are told the largest of their changes.

    Attributes:
        index: Of the block that is looked at.
        is_open: The step that runs is decided when its signal is seen.
        full: It is a full one.
    """

    def __init__(
        self, signal: Signal, description: ModelDescription, process_group: Any = None
    ) -> None:
        self._signal, self._group = signal, process_group
        self.index = self._index_of(signal, len(description.blocks))
        self._block: BlockDescription = description.blocks[self.index]
        name = self._block.other
        self._other = None if name is None else _Input(self._block.block, name)
        self._handles: list[Any] = []
        self._own: BlockExecutor | None = None  # of the first block where that is not cached
        self._stream: Tensor | None = None  # that the block is given
        self.finish()

    @staticmethod
    def _index_of(signal: Signal, count: int) -> int:
        if signal.kind in ("modulated input", "first block"):
            return 0
        index = count // 2 if signal.block is None else signal.block
        if not -count <= index < count:
            raise ValueError(f"block must be the index of one of {count} blocks, got {index}")
        return index % count

    # ---- in a model

    def install(self, blocks: list[BlockExecutor]) -> None:
        """Look at a model, whose executors are these."""
        kind, block = self._signal.kind, blocks[self.index]
        if kind == "first block":
            block = self._own = BlockExecutor(self._block, [], copies=False)
            block.install()
        # Not by hooks: offloaded weights, with which some find their stream, come after these.
        enter = self._enter if kind == "modulated input" else self._before_block
        block.enter = torch.compiler.disable(enter)
        if kind == "verified":
            block.copies = True
            block.verify = torch.compiler.disable(self._verify)
        elif kind != "modulated input":
            after = torch.compiler.disable(self._after_block)
            self._handles = [block.block.register_forward_hook(after, with_kwargs=True)]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self._own is not None:
            self._own.remove()

    # ---- asked by the cache

    def begin(
        self, seen: Seen, decide: Adapting, step: Step, settle: Callable[[Decision], None]
    ) -> None:
        """A step begins: its schedule is told what the one before has shown."""
        self._seen, self._decide, self._step, self._settle = seen, decide, step, settle
        self.runs, self.is_open, self.full = True, False, False
        if seen.change is not None:
            decide.see(step, self._number(seen.change))
            seen.change = None

    def finish(self) -> None:
        """The step has ended: what it was given is not held."""
        self.runs = self.is_open = self.full = False
        self._stream = None
        for name in ("_seen", "_decide", "_step", "_settle"):
            vars(self).pop(name, None)

    # ---- while a step runs

    def _enter(self, block: BlockExecutor, args: Args, kwargs: Kwargs) -> None:
        """The first block is called: find what its first module would read."""
        if self.runs:
            self._show(_first_read(self._block, block.original, args, kwargs), keeps=True)

    def _before_block(self, block: BlockExecutor, args: Args, kwargs: Kwargs) -> None:
        if not self.runs or not (self.full or self.is_open):
            return
        if self._signal.kind != "verified":
            self._stream = self._block.stream(args, kwargs)
        elif self._other is not None:
            self._seen.other = self._other.find(args, kwargs)

    def _after_block(self, block: nn.Module, args: Args, kwargs: Kwargs, output: Any) -> None:
        if self._stream is None:
            return
        residual = self._block.returned(output) - self._stream
        self._stream = None
        if self._signal.kind == "first block":
            self._show(residual, keeps=False)
        else:
            seen, now = self._seen, self._step.index
            if seen.before is not None:
                seen.change = self._change(residual, seen.before) / (now - seen.at)
            seen.before, seen.at = residual, now

    def _verify(
        self, block: BlockExecutor, args: Args, kwargs: Kwargs
    ) -> Callable[[Tensor], None] | None:
        """Computes the block from its input of a cached step; None: this step is not verified."""
        if not (self.runs and self._decide.verifies):
            return None
        seen = self._seen
        if seen.other is not None and self._other is not None:
            args, kwargs = self._other.exchanged(seen.other, args, kwargs)
        with torch.no_grad():
            computed = self._block.returned(block.original(*args, **kwargs))

        def compare(forecast: Tensor) -> None:
            seen.change = self._change(forecast, computed)

        check: Callable[[Tensor], None] = torch.compiler.disable(compare)
        return check

    def _show(self, now: Tensor, keeps: bool) -> None:
        """Tell the change, which decides the step if it is open.

        Args:
            now: What is looked at.
            keeps: The next step is compared with this one, whatever is decided.
        """
        seen = self._seen
        if self.is_open:
            self.is_open = False
            change = None if seen.before is None else self._change(now, seen.before)
            number = None if change is None else self._number(change)
            self._settle(self._decide.see(self._step, number))
        if keeps or self.full:
            seen.before, seen.at = now.clone(), self._step.index

    def _change(self, now: Tensor, before: Tensor) -> Tensor:
        a, b = now.float(), before.float()
        change: Tensor
        if self._signal.measure == "relative_l2":
            change = (a - b).norm() / b.norm().clamp(min=1e-10)
        elif self._signal.measure == "mean_relative_l1":
            change = ((a - b).abs() / (b.abs() + 1e-10)).mean()
        else:
            change = (a - b).abs().sum() / b.abs().sum().clamp(min=1e-10)
        return change

    def _number(self, change: Tensor) -> float:
        """On the host, which waits for it: once a step. What is no number is the largest of all."""
        change = change.nan_to_num(nan=torch.inf)
        if self._group is not None:
            torch.distributed.all_reduce(
                change, op=torch.distributed.ReduceOp.MAX, group=self._group
            )
        return change.item()


class _Found(Exception):
    """The block has got as far as it is needed."""


def _first_read(
    description: BlockDescription, forward: Callable[..., Any], args: Args, kwargs: Kwargs
) -> Tensor:
    """What a block's first module is given: its modulated input, as the block itself makes it."""
    found: list[Tensor] = []

    def look(module: nn.Module, given: Args, named: Kwargs) -> None:
        tensors = [each for each in (*given, *named.values()) if isinstance(each, Tensor)]
        found.append(named.get("hidden_states", tensors[0]))
        raise _Found

    module = description.modules[0].module
    handle = module.register_forward_pre_hook(look, with_kwargs=True, prepend=True)
    try:
        forward(*args, **kwargs)
    except _Found:
        return found[0]
    finally:
        handle.remove()
    raise ValueError(
        f"module {description.modules[0].name!r} of the first block must be called by its forward"
    )


class _Input:
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
