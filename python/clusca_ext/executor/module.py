"""Runs one cached module: captures it, forecasts it, computes its representatives."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from clusca_ext import ops
from clusca_ext.adapters.description import (
    Args,
    Kwargs,
    Modulation,
    ModuleDescription,
)
from clusca_ext.adapters.norms import norm_arguments
from clusca_ext.correction import Corrector, NoCorrection
from clusca_ext.executor.modulation import (
    GATE,
    SCALE,
    SHIFT,
    at_tokens,
    is_unmade,
    of_all,
    per_token,
)
from clusca_ext.offload import is_offloaded
from clusca_ext.storage import Kept


class Correction:
    """What the corrector gives a cached step. The same object for all modules of a cache.

    Attributes:
        cluster_ids: Cluster of every token. [B, N] int32
        gamma: Propagation ratio. 0-dim float32
        rule: ``"delta"`` or ``"value"``.
        persistent: Whether corrections are written into the factors.
        acts: Whether the step is corrected; else all is forecast.
    """

    cluster_ids: Tensor
    gamma: Tensor

    def __init__(self, rule: str, persistent: bool) -> None:
        self.rule, self.persistent = rule, persistent
        self.acts = True

    @classmethod
    def of(cls, corrector: Corrector) -> "Correction | None":
        """That of a corrector; None: it computes no representatives."""
        if isinstance(corrector, NoCorrection):
            return None
        return cls(corrector.rule, corrector.persistent)


class ModuleExecutor:
    """One cached module: what is kept of it, and how a step uses it.

    Attributes:
        computed: This step computes the module on all tokens, and keeps what it returns.
        captures: How often it did; the cache demands once.
        is_last: This is a run's last step: nothing is forecast from what it computes.
        corrected: On cached steps that are corrected, representatives are computed and propagated.
        carried: On those, in a segment, representatives must be carried over it: one that is
            corrected follows, or it is one.
        gate: That of its update, while that waits for the end of its segment.
        representatives: Tokens of this step. [B, K] int32
        places: Where their rows lie in what is cached of the module, which has no others; None: it
            has every token's. [B, K] int32
        feature: What the branch that calls has cached of it.
        show: Called, if ``shows``, with what the module returns, as it would be kept.
        joint: A mask of this schedule computes it by the block's own forward.
        joins: That runs: what the module returns goes to ``joined``.
        joined: That; None: nothing yet.
    """

    feature: Kept
    show: Callable[[Tensor], None]

    def __init__(self, description: ModuleDescription, correction: Correction | None) -> None:
        self.description = description
        self.module = description.module
        self.norm = description.norm
        self.correction = correction
        self.corrected = correction is not None and description.represents
        self.carried = self.computed = self.shows = self.joint = self.joins = False
        self.joined: Tensor | None = None
        self.captures, self.is_last = 0, False
        self.gate: Tensor | None = None
        self.places: Tensor | None = None
        self.representatives: Tensor

    def capture(self, module: nn.Module, args: Args, output: Any) -> None:
        """Forward hook of the module: on a step that computes it, keep its output."""
        if self.computed:
            self.captures += 1
        # Compiled code keeps what nobody reads, too: to leave it out would be one more graph.
        keeps = self.computed and (torch.compiler.is_compiling() or not self.is_last)
        if not (keeps or self.shows or self.joins):
            return
        found = self.description.feature(output, self.feature.tokens)
        if self.shows:
            self.show(found)
        if self.joins:
            self.joined = found
        if keeps:
            self.feature.keep(found)

    @property
    def factors(self) -> Tensor:
        assert self.feature.factors is not None  # the cache computes what it has never seen
        return self.feature.factors

    @property
    def corrects(self) -> bool:
        """Whether it is corrected at this step."""
        return self.corrected and self.correction is not None and self.correction.acts

    @property
    def carries(self) -> bool:
        """Whether representatives are carried over it at this step."""
        return self.carried and self.correction is not None and self.correction.acts

    def apply(self, x: Tensor, modulation: Modulation, args: Args, kwargs: Kwargs) -> None:
        """Add this module's residual update to the stream, in place."""
        if self.computed:
            self._compute(x, modulation, args, kwargs)
        elif self.corrects:
            self._correct(x, modulation)
        else:
            gate = of_all(modulation, GATE, x)
            ops.forecast_residual_(x, self.factors, gate, self.feature.weights)

    def wait(
        self, x: Tensor, modulation: Modulation, offset: Tensor | None, correction: Tensor | None
    ) -> None:
        """Leave the update to the end of the segment; only representatives go on.

        Args:
            x: The stream, without what the segment's modules before this one add. [B, N, D]
            modulation: This module's.
            offset: What they add to the representatives. [B, K, D] float32
            correction: What clusters have learnt from them. [B, K, D] float32
        """
        if self.places is not None:
            self._carry_summed(x, modulation, offset, correction)
            return
        gate = of_all(modulation, GATE, x)
        if gate is not None and per_token(gate).shape[1] > 1:
            raise ValueError(
                f"the gate of {self.description.name!r} must be [B, D] or [B, 1, D] where blocks "
                "hand their stream on (hands_on) and by_token of the model's description says "
                f"False, got {list(gate.shape)}"
            )
        self.gate = gate
        if not self.carries:
            return
        assert offset is not None and correction is not None
        computed = self._represent(x, modulation, offset) if self.corrected else None
        of = self.factors, self.representatives
        ops.carry_representatives_(offset, correction, *of, gate, computed, self.feature.weights)

    def _carry_summed(
        self, x: Tensor, modulation: Modulation, offset: Tensor | None, correction: Tensor | None
    ) -> None:
        """Of a module whose forecasts are summed: only its rows of representatives are there, and
        only there are gates asked for."""
        assert offset is not None and correction is not None and self.places is not None
        computed = self._represent(x, modulation, offset) if self.corrected else None
        factors, places, gate = self.factors, self.places, modulation.gate
        if is_unmade(modulation) or (gate is not None and per_token(gate).shape[1] > 1):
            gate = at_tokens(modulation, GATE, x, self.representatives)
            factors, places = rows_at(factors, places)
        else:
            gate = of_all(modulation, GATE, x)
        ops.carry_representatives_(
            offset, correction, factors, places, gate, computed, self.feature.weights
        )

    def _correct(self, x: Tensor, modulation: Modulation) -> None:
        correction, tokens = self.correction, self.representatives
        assert correction is not None
        factors, weights = self.factors, self.feature.weights
        computed = self._represent(x, modulation)
        gate = of_all(modulation, GATE, x)
        ids, gamma = correction.cluster_ids, correction.gamma
        if correction.persistent:
            ops.propagate_factors_(factors, computed, tokens, ids, gamma)
            ops.forecast_residual_(x, factors, gate, weights)
        else:
            ops.propagate_residual_(
                x, factors, computed, tokens, ids, gate, gamma, weights, correction.rule
            )

    def _represent(self, x: Tensor, modulation: Modulation, offset: Tensor | None = None) -> Tensor:
        """What the module makes of the representatives, moved by their offset. [B, K, D]"""
        compute = self.description.compute or self.module
        computed = compute(self._rows(x, modulation, offset))
        return computed.to(self.factors.dtype)  # differs at most under autocast

    def _rows(self, x: Tensor, modulation: Modulation, offset: Tensor | None) -> Tensor:
        """The representatives, normalised and modulated. [B, K, D]"""
        rows: Tensor
        tokens = self.representatives
        if is_unmade(modulation):
            # A stream of theirs alone, each of which represents itself: [B, K, D] are made of it.
            shift, scale = (at_tokens(modulation, part, x, tokens) for part in (SHIFT, SCALE))
            x, _ = ops.gather_representatives(x, tokens, offset=offset)
            own = torch.arange(tokens.shape[1], dtype=torch.int32, device=x.device)
            tokens, offset = own.where(tokens >= 0, -1), None
            modulation = Modulation(shift, scale)
        eps, weight, bias, norm = norm_arguments(self.norm)
        if self.norm is None or weight is None or not is_offloaded(self.norm, x.device):
            shift, scale = (of_all(modulation, part, x) for part in (SHIFT, SCALE))
            how = eps, weight, bias, norm, offset
            _, rows = ops.gather_representatives(x, tokens, shift, scale, *how)
            return rows
        # Offloaded weights are there while their own module is called.
        rows = self.norm(ops.gather_representatives(x, tokens, offset=offset)[0])
        shift, scale = (at_tokens(modulation, part, x, tokens) for part in (SHIFT, SCALE))
        if scale is not None:
            rows = rows * (1 + scale)
        return rows if shift is None else rows + shift

    def _compute(self, x: Tensor, modulation: Modulation, args: Args, kwargs: Kwargs) -> None:
        gate = of_all(modulation, GATE, x)
        output, self.joined = self.joined, None
        if output is None:
            output = self._call(x, modulation, args, kwargs)
        x.add_(output if gate is None else per_token(gate) * output)

    def _call(self, x: Tensor, modulation: Modulation, args: Args, kwargs: Kwargs) -> Tensor:
        shift, scale = (of_all(modulation, part, x) for part in (SHIFT, SCALE))
        tokens = x if self.norm is None else self.norm(x)
        if scale is not None:
            tokens = tokens * (1 + per_token(scale))
        if shift is not None:
            tokens = tokens + per_token(shift)
        assert self.description.call is not None  # the cache refuses a mask of others
        return self.description.call(tokens.to(x.dtype), args, kwargs)


def rows_at(factors: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Only those rows of [L, B, R, D] that lie at places [B, K], and the places of these."""
    index = places.clamp(min=0).long()[None, :, :, None].expand(len(factors), -1, -1, 1)
    own = torch.arange(places.shape[1], dtype=torch.int32, device=places.device)
    return factors.take_along_dim(index, dim=2), own.where(places >= 0, -1)
