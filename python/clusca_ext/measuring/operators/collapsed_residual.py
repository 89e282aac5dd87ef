"""Many modules' updates in one pass against one addcmul_ a factor.

Every second module was computed at the representatives. All go from what these computed to the
stream after the last module: ours by carry_representatives_ and collapsed_residual, the peers, too,
by what the rows of all modules have learnt, summed before it is spread over the tokens.
"""

from typing import Any

import torch
from torch import Tensor

from clusca_ext import ops
from clusca_ext.measuring.inputs import (
    DISTANCE,
    GAMMA,
    clusters,
    modulation,
    nbytes,
    random_rows,
    random_tokens,
    shared,
)
from clusca_ext.measuring.peers import batch_index, forecast, spread, taylor_weights
from clusca_ext.measuring.shapes import CLUSTERS, Case, cases
from clusca_ext.measuring.work import Work

CASES = cases(O=(1, 4), M=(8,), K=CLUSTERS)


def ours(
    x: Tensor,
    factors: list[Tensor],
    gates: list[Tensor],
    computed: list[Tensor | None],
    representatives: Tensor,
    ids: Tensor,
    gamma: float,
    distance: float,
) -> Any:
    B, K = representatives.shape
    offset, correction = x.new_zeros(2, B, K, x.shape[-1], dtype=torch.float32)
    for of_module, gate, feature in zip(factors, gates, computed, strict=True):
        args = of_module, representatives, gate, feature, distance
        ops.carry_representatives_(offset, correction, *args)
    clusters = correction, representatives, ids, gamma
    return ops.collapsed_residual(x, factors, gates, distance, *clusters)


def learnt(
    factors: list[Tensor],
    gates: list[Tensor],
    computed: list[Tensor | None],
    representatives: Tensor,
    distance: float,
) -> Any:
    """gate * (computed - forecast) of the representatives, over all modules. [B, K, D]"""
    batch = batch_index(representatives)
    return sum(
        gate.unsqueeze(1) * (feature - forecast(of_module[:, batch, representatives], distance))
        for of_module, gate, feature in zip(factors, gates, computed, strict=True)
        if feature is not None
    )


def plain(
    x: Tensor,
    factors: list[Tensor],
    gates: list[Tensor],
    computed: list[Tensor | None],
    representatives: Tensor,
    ids: Tensor,
    gamma: float,
    distance: float,
) -> Any:
    out: Any = None
    for of_module, gate in zip(factors, gates, strict=True):
        for factor, weight in zip(of_module, taylor_weights(distance, len(of_module)), strict=True):
            args = gate.unsqueeze(1), factor
            out = torch.addcmul(x, *args) if out is None else out.addcmul_(*args, value=weight)
    rows = learnt(factors, gates, computed, representatives, distance)
    out.add_(spread(gamma * rows, ids))
    out[batch_index(ids), representatives] += (1 - gamma) * rows
    return out


def fusible(
    x: Tensor,
    factors: list[Tensor],
    gates: list[Tensor],
    computed: list[Tensor | None],
    representatives: Tensor,
    ids: Tensor,
    gamma: float,
    distance: float,
) -> Any:
    out, batch = x, batch_index(ids)
    for of_module, gate in zip(factors, gates, strict=True):
        out = torch.addcmul(out, gate.unsqueeze(1), forecast(of_module, distance))
    rows = learnt(factors, gates, computed, representatives, distance)
    is_representative = representatives[batch, ids] == torch.arange(x.shape[1], device=x.device)
    share = torch.where(is_representative, 1.0, gamma).to(x.dtype)
    return out + share.unsqueeze(-1) * rows[batch, ids]


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    ids, representatives = clusters(case)
    factors = [random_tokens(case, case.O + 1) for _ in range(case.M)]
    gates = [modulation(case) for _ in range(case.M)]
    computed = [None if m % 2 else random_rows(case, case.K) for m in range(case.M)]
    return random_tokens(case), factors, gates, computed, representatives, ids, GAMMA, DISTANCE


def work(case: Case) -> Work:
    x, factors, gates, computed, representatives, ids, *_ = args = arguments(case)
    features = [feature for feature in computed if feature is not None]
    moved = nbytes(x, x, *factors, *gates, *features, representatives, ids)  # x once, out once
    return Work(ours, plain, args, bytes_moved=moved, fusible=fusible)
