"""What a schedule that adapts is shown of a step: how much a feature has changed."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters import ranks
from clusca_ext.adapters.description import Args, BlockDescription, Kwargs, ModelDescription
from clusca_ext.block_inputs import Found, first_read
from clusca_ext.changes import Seen, measured, told
from clusca_ext.executor import BlockExecutor, EmbedderExecutor, FirstBlockExecutor, ModuleExecutor
from clusca_ext.schedule import Adapting, Decision, Signal, Step
from clusca_ext.schedule.decision import AT_ENTRY, TIMESTEP, VERIFIED
from clusca_ext.verifier import Verifier


class Probe:
    """Looks at one feature of every step, and tells the schedule.

    Args:
        signal: What the schedule asks for.
        description: The model's, with all its blocks.
        process_group: Ranks that must decide alike beside those that share the model's tokens: all
            are told the largest of their changes.

    Attributes:
        index: Of the block that is looked at.
        is_open: The step that runs is decided when its signal is seen.
        full: It is a full one.
    """

    def __init__(
        self, signal: Signal, description: ModelDescription, process_group: Any = None
    ) -> None:
        self._signal, self._group = signal, process_group
        self._describes = description
        self.index = self._index_of(signal, len(description.blocks))
        self._block: BlockDescription = description.blocks[self.index]
        self._verifier: Verifier | None = None
        self._handles: list[Any] = []
        self._own: FirstBlockExecutor | None = None  # of the first block where that is not cached
        self._embedding = self._embedding_of(signal, description)
        self._embedder: EmbedderExecutor | None = None
        self._embedded: Tensor | None = None  # that this returned
        self._stream: Tensor | None = None  # that the block is given
        self._settle: Callable[[Decision], None] | None  # None: the call only looks
        self.finish()

    @property
    def _ranks(self) -> list[Any]:
        """Those that share the model's tokens, and those that were named."""
        sharing = ranks.group_of(self._describes.model)
        named = None if self._group is sharing else self._group
        return [group for group in (sharing, named) if group is not None]

    @staticmethod
    def _index_of(signal: Signal, count: int) -> int:
        if signal.kind in (*AT_ENTRY, "first block"):
            return 0
        index = count // 2 if signal.block is None else signal.block
        if not -count <= index < count:
            raise ValueError(f"block must be the index of one of {count} blocks, got {index}")
        return index % count

    @staticmethod
    def _embedding_of(signal: Signal, description: ModelDescription) -> Any:
        """Where the timestep's embedding is; None: the signal is another one."""
        if signal.kind not in TIMESTEP:
            return None
        if signal.kind not in description.embeddings:
            name = type(description.model).__name__
            raise ValueError(
                f"the schedule's signal must be one that the adapter of {name} finds, got "
                f'{signal.kind!r}: take change_of="modulated input"'
            )
        return description.embeddings[signal.kind]

    # ---- in a model

    def install(self, blocks: list[BlockExecutor]) -> None:
        """Look at a model, whose executors are these."""
        kind, block = self._signal.kind, blocks[self.index]
        if kind == "first block":
            modules = [ModuleExecutor(each, None) for each in self._block.modules]
            block = self._own = FirstBlockExecutor(self._block, modules, copies=False)
            # They keep nothing. Compiled code does not see whether there are hooks: what it made of
            # this block would run where there are.
            for each in modules:
                self._handles.append(each.module.register_forward_hook(each.capture))
            block.take = torch.compiler.disable(self._take_output)
            block.keep = torch.compiler.disable(self._keep_output)
            block.install()
        # Not by hooks: offloaded weights, with which some find their stream, come after these.
        enter = self._enter if kind in AT_ENTRY else self._before_block
        block.enter, block.enters = torch.compiler.disable(enter), True
        if isinstance(self._embedding, nn.Module):
            keep = torch.compiler.disable(self._keep_embedding)
            self._embedder = EmbedderExecutor(self._embedding, keep)
            self._embedder.install()
        if kind in VERIFIED:
            self._verifier = Verifier(self._signal, block)
            block.copies = block.verifies = True
            block.verify = torch.compiler.disable(self._verify)
            block.compare = torch.compiler.disable(self._compare)
        elif kind not in AT_ENTRY:
            after = torch.compiler.disable(self._after_block)
            self._handles.append(block.block.register_forward_hook(after, with_kwargs=True))

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self._embedder is not None:
            self._embedder.remove()
            self._embedder = None
        if self._own is not None:
            self._own.remove()
            self._own = None
        if self._verifier is not None:
            self._verifier.remove()
            self._verifier = None

    # ---- asked by the cache

    def tell(self, seen: Seen, every: Sequence[Seen], decide: Adapting, step: Step) -> None:
        """A step begins: its schedule is told what the one before has shown."""
        change = told(seen, every, self._ranks)
        if change is not None:
            decide.see(step, change)

    def look(self, seen: Seen) -> None:
        """A call begins that ends where the signal of an open step is seen."""
        self._seen, self._settle = seen, None
        self.runs, self.is_open, self.full = True, True, False

    def looked(self, seen: Seen, every: Sequence[Seen], decide: Adapting, step: Step) -> Decision:
        """What an open step is that was looked at: the host reads that of all samples at once."""
        return decide.see(step, told(seen, every, self._ranks))

    def begin(
        self, seen: Seen, decide: Adapting, step: Step, settle: Callable[[Decision], None]
    ) -> None:
        """The call begins that does a step."""
        self._seen, self._decide, self._step, self._settle = seen, decide, step, settle
        self.runs, self.is_open, self.full = True, False, False

    def finish(self) -> None:
        """The call has ended: what it was given is not held."""
        self.runs = self.is_open = self.full = False
        self._stream = self._embedded = None
        if self._verifier is not None:
            self._verifier.forget()
        for name in ("_seen", "_decide", "_step", "_settle"):
            vars(self).pop(name, None)

    # ---- while a step runs

    def _enter(self, block: BlockExecutor, args: Args, kwargs: Kwargs) -> None:
        """The first block is called: find what its first module would read, or the embedding."""
        if not self.runs:
            return
        now: Tensor | None
        if self._embedding is None:
            now = first_read(self._block, block.original, args, kwargs)
        elif self._embedder is None:
            now = self._embedding(args, kwargs)
        else:
            now, self._embedded = self._embedded, None
        if now is None:
            raise ValueError("the timestep must be embedded before the first block is called")
        self._show(now, keeps=True)

    def _keep_embedding(self, output: Any) -> None:
        if self.runs:
            self._embedded = output

    def _before_block(self, block: BlockExecutor, args: Args, kwargs: Kwargs) -> None:
        if not self.runs or not (self.full or self.is_open):
            return
        if self._verifier is None:
            self._stream = self._block.stream(args, kwargs)
        else:
            self._verifier.keep_text(self._seen, args, kwargs, self._beside)

    def _keep_output(self, output: Any) -> None:
        if self.is_open and self._settle is None:
            self._seen.output = output

    def _take_output(self) -> Any:
        if not self.runs:
            return None
        output, self._seen.output = self._seen.output, None
        return output

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
                change = measured(self._signal.measure, residual, seen.before)
                seen.change = change / (now - seen.at)
            seen.before, seen.at = residual, now

    def _verify(self, block: BlockExecutor, args: Args, kwargs: Kwargs) -> None:
        """Computes the block from its input of a cached step, if this step is verified."""
        if self.runs and self._decide.verifies and self._verifier is not None:
            self._verifier.compute(block.original, self._seen, args, kwargs, self._beside)

    def _compare(self, forecast: Tensor) -> None:
        """The forecast of what was computed."""
        if self.runs and self._verifier is not None:
            self._verifier.compare(forecast, self._seen, self._beside)

    @property
    def _beside(self) -> int:
        """Tokens of another stream in front of the block's own."""
        step = self._step
        return self._describes.tokens_beside(self._block, step.args, step.kwargs)

    def _show(self, now: Tensor, keeps: bool) -> None:
        """Tell the change, which decides the step if it is open.

        Args:
            now: What is looked at.
            keeps: The next step is compared with this one, whatever is decided.
        """
        seen = self._seen
        if self.is_open:
            self.is_open = False
            if seen.before is not None:
                seen.change = measured(self._signal.measure, now, seen.before)
            if self._settle is None:
                raise Found
            self._settle(self.looked(seen, [seen], self._decide, self._step))
        if keeps or self.full:
            seen.before, seen.at = now.clone(), self._step.index
