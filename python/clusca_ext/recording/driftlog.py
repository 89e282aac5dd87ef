"""How much the outputs and gates of modules change from step to step."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription, ModuleDescription, whole
from clusca_ext.branch import Branch
from clusca_ext.recording import limits
from clusca_ext.recording.recording import Drift
from clusca_ext.storage.feature import Feature


class DriftLog:
    """Relative L2 changes of what each block has, from one time it is seen to the next.

    Args:
        blocks: How many the model has; of many, some are looked at.
    """

    def __init__(self, blocks: int) -> None:
        count = min(blocks, limits.BLOCKS)
        self.blocks = tuple(i * blocks // count for i in range(count))
        self.forget()

    def forget(self) -> None:
        """A new run has begun."""
        self._before: dict[tuple[int, int], Tensor] = {}
        self._since: int | None = None
        self._rows: list[tuple[int, int, tuple[float, ...]]] = []

    def see(self, step: int, now: dict[tuple[int, int], Tensor]) -> None:
        """What the modules have at a step, by block and index: copies, which are kept."""
        before, since = self._before, self._since
        if since is not None and before.keys() == now.keys():
            keys = [key for key in now if key[0] in self.blocks]
            changes = torch.stack([_change(now[key], before[key]) for key in keys]).tolist()
            by_block: dict[int, list[float]] = {}
            for (block, _), change in zip(keys, changes, strict=True):
                by_block.setdefault(block, []).append(change)
            values = tuple(
                sum(by_block[b]) / len(by_block[b]) for b in self.blocks if b in by_block
            )
            if len(values) == len(self.blocks) and all(map(_is_finite, values)):
                self._rows.append((step, since, values))
        self._before, self._since = now, step

    def drift(self) -> Drift | None:
        if not self._rows:
            return None
        steps, since, values = zip(*self._rows, strict=True)
        return Drift(self.blocks, steps, since, values)


def _change(now: Tensor, before: Tensor) -> Tensor:
    a, b = now.float(), before.float()
    change: Tensor = (a - b).norm() / b.norm().clamp(min=1e-12)
    return change


def _is_finite(value: float) -> bool:
    return value - value == 0


def some_rows(output: Tensor) -> Tensor:
    """A copy of a few tokens of the first batch row. [B, N, D] to [R, D]"""
    stride = max(1, output.shape[1] // limits.DRIFT_TOKENS)
    return output[0, ::stride][: limits.DRIFT_TOKENS].clone()


class OutputHooks:
    """Keeps some rows of what the modules of an untouched model return.

    Args:
        description: The model's.
        blocks: Those that are looked at.
    """

    def __init__(self, description: ModelDescription, blocks: Sequence[int]) -> None:
        self._tokens: list[int] | None = None
        self.seen: dict[tuple[int, int], Tensor] = {}
        self.wanted = False
        self._handles = [
            module.module.register_forward_hook(self._hook(block, index, module))
            for block in blocks
            for index, module in enumerate(description.blocks[block].modules)
        ]
        self._description = description

    def begin(self, wanted: bool, args: Args, kwargs: Kwargs) -> None:
        """A call of the model begins."""
        self.wanted, self.seen = wanted, {}
        shapes = self._description.shapes(args, kwargs) if wanted else None
        self._tokens = None if shapes is None else [shape[1] for shape in shapes]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _hook(self, block: int, index: int, module: ModuleDescription) -> Any:
        def look(_: nn.Module, args: Args, output: Any) -> None:
            if not self.wanted or (self._tokens is None and module.feature is not whole):
                return
            tokens = 0 if self._tokens is None else self._tokens[block]
            self.seen[block, index] = some_rows(module.feature(output, tokens).detach())

        return look


def kept_rows(branch: Branch, step: int, blocks: Sequence[int]) -> dict[tuple[int, int], Tensor]:
    """Some rows of what a step computed and per-block storage has kept; empty: it keeps none.

    Of a run's last step, from which nothing is forecast, nothing is kept.
    """
    if branch.is_last(step):
        return {}
    found: dict[tuple[int, int], Tensor] = {}
    places: dict[int, int] = {}
    for (block, _), feature in branch.storage.features.items():
        if not isinstance(feature, Feature):
            return {}
        index = places[block] = places.get(block, -1) + 1
        if block not in blocks:
            continue
        if feature.factors is None or not feature.clock.count or feature.clock.last != step:
            return {}
        found[block, index] = some_rows(feature.last)
    return found


def planned_gates(branch: Branch, step: int) -> dict[tuple[int, int], Tensor]:
    """The gates of a step, first batch row, where its modulation was planned; else empty."""
    if step not in branch.plan.known:
        return {}
    gates = branch.plan.gates(range(step, step + 1))
    found: dict[tuple[int, int], Tensor] = {}
    places: dict[int, int] = {}
    for (block, _), gate in zip(branch.storage.modules, gates, strict=True):
        index = places[block] = places.get(block, -1) + 1
        if gate is not None:
            found[block, index] = gate[0, 0].clone()
    return found
