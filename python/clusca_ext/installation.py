"""What a cache puts into a model: an executor for every block, and the hooks that feed them."""

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from clusca_ext.adapters.description import Args, ModelDescription
from clusca_ext.correction import Chosen
from clusca_ext.executor import BlockExecutor, Correction, ModuleExecutor, Segment
from clusca_ext.joint import Joint, joints_of

Key = tuple[int, str]  # of a module: index of its block, its name


class Installation:
    """Executors and hooks of a model as it is described.

    Args:
        description: The model's.
        correction: What the corrector gives the modules; None: nothing.
        source: Index of the block whose output is clustered; None: no tokens are.
        alone: Whether a block that neither hands its stream on nor is handed one is a segment, too.
        apart: Indices of blocks whose streams must be there before and after them.

    Attributes:
        keeps_source: The tokens that are clustered are kept, in a full step.
        blocks: One executor for each block.
        modules: All modules' executors.
        segments: Those of the blocks that hand their stream on.
        joints: Of blocks of which masks have their own forward compute something.
    """

    def __init__(
        self,
        description: ModelDescription,
        correction: Correction | None,
        source: int | None,
        alone: bool = False,
        apart: frozenset[int] = frozenset(),
    ) -> None:
        self.description, self.correction = description, correction
        self._source = source
        self._source_tokens: Tensor | None = None
        self.keeps_source = False
        self.blocks: list[BlockExecutor] = []
        self.modules: dict[Key, ModuleExecutor] = {}
        self._keys: dict[int, Key] = {}
        self._handles: list[Any] = []
        for index, block in enumerate(description.blocks):
            executors = [ModuleExecutor(each, correction) for each in block.modules]
            for executor in executors:
                self.modules[index, executor.description.name] = executor
                self._keys[id(executor)] = (index, executor.description.name)
            copies = index == 0 or block.keeps_stream
            self.blocks.append(BlockExecutor(block, executors, copies))
            self.blocks[-1].has_source = source is not None
        self.segments = _join(self.blocks, correction, alone, apart)
        self.joints: list[Joint] = []

    def expect_masks(self, masked: Collection[Key]) -> None:
        """Some step will compute some of these modules and forecast others."""
        self.joints = joints_of(self.blocks, masked)

    def fits(self, description: ModelDescription) -> bool:
        """Whether the model still has the modules it had: a LoRA may have wrapped some since."""
        return _modules_of(description) == _modules_of(self.description)

    def install(self) -> None:
        for block in self.blocks:
            block.install()
            for module in block.modules:
                self._handles.append(module.module.register_forward_hook(module.capture))
        for joint in self.joints:
            joint.install()
        if self._source is not None:
            hooked: nn.Module = self.blocks[self._source].block
            self._handles.append(hooked.register_forward_hook(self._keep_source))

    def _keep_source(self, block: nn.Module, args: Args, output: Any) -> None:
        """Forward hook: what is clustered at the end of a full step."""
        if self.keeps_source and self._source is not None:
            self._source_tokens = self.blocks[self._source].description.returned(output)

    def take_source(self) -> Tensor | None:
        """The tokens kept, once."""
        tokens, self._source_tokens = self._source_tokens, None
        return tokens

    def let(self, full: bool | None) -> None:
        """A full step begins, or one that forecasts; None: it has ended."""
        self.keeps_source = full is True
        for block in self.blocks:
            block.substituted = full is False
            if full is None:
                block.looks = False
        for segment in self.segments if full is None else ():
            segment.end()

    def end_step(self) -> dict[Key, ModuleExecutor]:
        """A step has ended: who calls the model's modules now is not cached.

        Returns:
            The modules that it computed.
        """
        self.let(full=None)
        for joint in self.joints:
            joint.end()
        computed = {key: module for key, module in self.modules.items() if module.computed}
        for module in computed.values():
            module.computed = False
        return computed

    def begin_step(self, chosen: Chosen | None, by_token: bool) -> None:
        """A step begins that forecasts some modules.

        Args:
            chosen: What it computes; None: all it does not compute whole is forecast.
            by_token: Whether its modulation differs by token.
        """
        modules = self.modules.values()
        alike = not by_token and not any(module.computed for module in modules)
        if self.correction is not None:
            # Sums of coming steps would not know what is written into factors until then.
            alike = alike and self.correction.rule == "delta"
            self.correction.acts = chosen is not None
        if chosen is not None:
            assert self.correction is not None
            self.correction.cluster_ids = chosen.cluster_ids
            corrected = [m for m in modules if m.corrected and not m.computed]
            for module, tokens in zip(corrected, chosen.tokens, strict=True):
                module.representatives = tokens
            for module in modules if chosen.one and chosen.tokens else ():
                module.representatives = chosen.tokens[0]
            alike = alike and chosen.one and chosen.of_members
        for segment in self.segments:
            segment.begin(collapses=alike)
        for joint in self.joints:
            joint.settle()

    def begin_summed(self, represented: tuple[Chosen, Tensor] | None) -> None:
        """A cached step begins whose representatives alone have rows of every module.

        Args:
            represented: Its representatives, the same for all modules, and where their rows lie,
                [B, K] int32; None: it has none.
        """
        if self.correction is not None:
            self.correction.acts = represented is not None
        if represented is None:
            return
        assert self.correction is not None
        chosen, places = represented
        self.correction.cluster_ids = chosen.cluster_ids
        for module in self.modules.values():
            module.representatives, module.places = chosen.tokens[0], places

    def blocks_by_segment(self) -> list[tuple[Segment, list[BlockExecutor]]]:
        """All segments, with their blocks."""
        blocks = self.blocks
        return [(each, [b for b in blocks if b.segment is each]) for each in self.segments]

    def key_of(self, module: ModuleExecutor) -> Key:
        return self._keys[id(module)]

    def remove(self) -> None:
        """Restore the blocks; a second time does nothing."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        for block in self.blocks:
            block.remove()


def computable(modules: Mapping[Key, ModuleExecutor]) -> dict[Key, bool]:
    """Of every module, whether a mask may compute it."""
    return {key: each.description.computable for key, each in modules.items()}


def require_called_once(computed: Mapping[Key, ModuleExecutor]) -> None:
    """Raise where a module was not called once in a step that computes it."""
    for (index, name), module in computed.items():
        if module.captures != 1:
            raise ValueError(
                f"module {name!r} of block {index} must be called once in a step that computes "
                f"it, got {module.captures} calls"
            )


def _join(
    blocks: list[BlockExecutor], correction: Correction | None, alone: bool, apart: frozenset[int]
) -> list[Segment]:
    """Join blocks that hand their stream on, with the one it ends at."""
    segments: list[Segment] = []
    members: list[BlockExecutor] = []
    count = 0  # modules so far
    for index, block in enumerate(blocks):
        members.append(block)
        count += len(block.modules)
        ends = block is blocks[-1] or not apart.isdisjoint((index, index + 1))
        if block.description.hands_on and not ends:
            continue
        if len(members) > 1 or alone:
            modules = [module for member in members for module in member.modules]
            segments.append(Segment(modules, count - len(modules), correction))
            for member in members:
                member.segment = segments[-1]
            block.is_last = True
        members = []
    return segments


def _modules_of(description: ModelDescription) -> list[tuple[int, str, int]]:
    return [
        (index, module.name, id(module.module))
        for index, block in enumerate(description.blocks)
        for module in block.modules
    ]
