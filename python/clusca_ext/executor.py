"""Runs a cached step from a block's description: the only code that calls the fused operators.

Between the first block's input, copied once, and the last block's output no [B, N, D] tensor is
allocated here and no norm runs over N rows; a description that modulates token by token makes one.
Compiled code reads two kinds of things here: Python bools that say which path a step takes, and
tensors. Everything else is decided outside, by the cache.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext import ops
from clusca_ext.adapters.description import (
    Args,
    BlockDescription,
    Kwargs,
    Modulation,
    ModuleDescription,
    norm_arguments,
)
from clusca_ext.storage import Feature


class Correction:
    """What the corrector gives a cached step. The same object for all modules of a cache.

    Attributes:
        cluster_ids: Cluster of every token. [B, N] int32
        gamma: Propagation ratio. 0-dim float32
        rule: ``"delta"`` or ``"value"``.
        persistent: Whether corrections are written into the factors.
    """

    cluster_ids: Tensor
    gamma: Tensor

    def __init__(self, rule: str, persistent: bool) -> None:
        self.rule, self.persistent = rule, persistent


class ModuleExecutor:
    """One cached module: its factors, and how a step uses it.

    Attributes:
        computed: This step computes the module on all tokens, and keeps what it returns.
        captures: How often it did; the cache demands once.
        corrected: On a cached step, representatives are computed and propagated.
        representatives: Tokens of this step. [B, K] int32
    """

    def __init__(
        self, description: ModuleDescription, feature: Feature, correction: Correction | None
    ) -> None:
        self.description = description
        self.module = description.module
        self.norm = description.norm
        self.feature = feature
        self.correction = correction
        self.corrected = correction is not None and description.represents
        self.computed = False
        self.captures = 0
        self.representatives: Tensor

    def capture(self, module: nn.Module, args: Args, output: Any) -> None:
        """Forward hook of the module: on a step that computes it, update its factors."""
        if self.computed:
            self.captures += 1
            output = self.description.feature(output, self.feature.tokens)
            factors = self.feature.factors
            if factors is None:
                factors = self.feature.allocate(output, output.shape)
            ops.taylor_update_(factors, output, self.feature.rates)

    def apply(self, x: Tensor, modulation: Modulation, args: Args, kwargs: Kwargs) -> None:
        """Add this module's residual update to the stream, in place."""
        shift, scale, gate = (_of_stream(tensor, x) for tensor in modulation)
        if self.computed:
            self._compute(x, shift, scale, gate, args, kwargs)
        elif self.corrected:
            self._correct(x, shift, scale, gate)
        else:
            ops.forecast_residual_(x, self._factors(), gate, self.feature.weights)

    def _factors(self) -> Tensor:
        assert self.feature.factors is not None  # the cache computes what it has never seen
        return self.feature.factors

    def _correct(
        self, x: Tensor, shift: Tensor | None, scale: Tensor | None, gate: Tensor | None
    ) -> None:
        correction, tokens = self.correction, self.representatives
        assert correction is not None
        rows = self._rows(x, tokens, shift, scale)
        factors, weights = self._factors(), self.feature.weights
        compute = self.description.compute or self.module
        computed = compute(rows).to(factors.dtype)  # differs at most under autocast
        ids, gamma = correction.cluster_ids, correction.gamma
        if correction.persistent:
            ops.propagate_factors_(factors, computed, tokens, ids, gamma)
            ops.forecast_residual_(x, factors, gate, weights)
        else:
            ops.propagate_residual_(
                x, factors, computed, tokens, ids, gate, gamma, weights, correction.rule
            )

    def _rows(
        self, x: Tensor, tokens: Tensor, shift: Tensor | None, scale: Tensor | None
    ) -> Tensor:
        """The representatives, normalised and modulated. [B, K, D]"""
        rows: Tensor
        eps, weight, bias, norm = norm_arguments(self.norm)
        if self.norm is None or weight is None or weight.device == x.device:
            _, rows = ops.gather_representatives(x, tokens, shift, scale, eps, weight, bias, norm)
            return rows
        # Offloaded weights are there while their own module is called.
        rows = self.norm(ops.gather_representatives(x, tokens)[0])
        if scale is not None:
            rows = rows * (1 + _at(scale, tokens))
        return rows if shift is None else rows + _at(shift, tokens)

    def _compute(
        self,
        x: Tensor,
        shift: Tensor | None,
        scale: Tensor | None,
        gate: Tensor | None,
        args: Args,
        kwargs: Kwargs,
    ) -> None:
        tokens = x if self.norm is None else self.norm(x)
        if scale is not None:
            tokens = tokens * (1 + _per_token(scale))
        if shift is not None:
            tokens = tokens + _per_token(shift)
        assert self.description.call is not None  # the cache refuses a mask of others
        output = self.description.call(tokens, args, kwargs)
        x.add_(output if gate is None else _per_token(gate) * output)


class BlockExecutor:
    """Stands in for a block's forward.

    Attributes:
        substituted: Whether this step forecasts any module of the model; else the block's own
            forward runs, untouched.
        planned: This step's modulation where it was computed beforehand; else None.
    """

    def __init__(
        self, description: BlockDescription, modules: list[ModuleExecutor], copies: bool
    ) -> None:
        self.description = description
        self.block = description.block
        self.planned: Sequence[Modulation] | None = None
        self.modules = modules
        self.copies = copies
        self.substituted = False
        self.original: Any = None

    def install(self) -> None:
        """Stand in for the innermost forward: what wraps it, as offloading does, still runs."""
        owner, name = _forwards_of(self.block)[0]
        self.original = getattr(owner, name)
        self._had_its_own = name in vars(owner)
        setattr(owner, name, self.forward)

    def remove(self) -> None:
        """Restore the block, wherever wrappers that came later keep our forward."""
        self.substituted = False
        for owner, name in _forwards_of(self.block):
            if vars(owner).get(name) != self.forward:
                continue
            if owner is self.block and name == "forward" and not self._had_its_own:
                delattr(owner, name)
            else:
                setattr(owner, name, self.original)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not self.substituted:
            return self.original(*args, **kwargs)
        x = self.description.stream(args, kwargs)
        if self.copies:
            x = x.clone(memory_format=torch.contiguous_format)
        modulations = self.planned
        if modulations is None:
            modulations = self.description.modulation(x, args, kwargs)
        for module, modulation in zip(self.modules, modulations, strict=True):
            module.apply(x, modulation, args, kwargs)
        return self.description.returns(x, args, kwargs)


def _forwards_of(block: Any) -> list[tuple[Any, str]]:
    """Where a block's forward and those that wrap it are kept, innermost first."""
    places: list[tuple[Any, str]] = []
    if "_old_forward" in vars(block):  # accelerate
        places.append((block, "_old_forward"))
    registry = vars(block).get("_diffusers_hook")
    for wrapper in getattr(registry, "_fn_refs", []):
        replaced = wrapper.original_forward is not None
        places.append((wrapper, "original_forward" if replaced else "forward"))
    return [*places, (block, "forward")]


def _per_token(modulation: Tensor) -> Tensor:
    return modulation.unsqueeze(1) if modulation.dim() == 2 else modulation


def _at(modulation: Tensor, tokens: Tensor) -> Tensor:
    """Modulation of the representatives, [B, 1 or K, D]."""
    each = _per_token(modulation)
    if each.shape[1] == 1:
        return each
    return each.take_along_dim(tokens.clamp(min=0).long().unsqueeze(-1), dim=1)


def _of_stream(tensor: Tensor | None, x: Tensor) -> Tensor | None:
    """Modulation in a dtype the operators take; under autocast it comes in a lower one."""
    if tensor is None or tensor.dtype in (x.dtype, torch.float32):
        return tensor
    return tensor.to(x.dtype)
