"""The stream after a lean cached step and the norm that follows it, against torch's one by one.

Sums are float32, as they are accumulated, beside a stream of the case's dtype.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from clusca_ext import ops
from clusca_ext.measuring.inputs import GAMMA, clusters, modulation, nbytes, random_tokens, shared
from clusca_ext.measuring.peers import batch_index, spread
from clusca_ext.measuring.shapes import CLUSTERS, Case, cases
from clusca_ext.measuring.work import Work

EPS = 1e-6
CASES = cases(norm=("layer", "none"), C=(2, 5), K=CLUSTERS)


def ours(
    x: Tensor,
    sums: Tensor,
    weights: Tensor,
    correction: Tensor,
    representatives: Tensor,
    ids: Tensor,
    gamma: float,
    shift: Tensor,
    scale: Tensor,
) -> Any:
    learnt = correction, representatives, ids, gamma
    if shift is None:
        return ops.lean_output(x, sums, weights, *learnt)
    return ops.lean_output(x, sums, weights, *learnt, shift, scale, EPS, None, None, "layer")


def followed(y: Tensor, x: Tensor, shift: Tensor, scale: Tensor) -> Any:
    if shift is not None:
        normed = F.layer_norm(y, y.shape[-1:], eps=EPS)
        y = torch.addcmul(shift.unsqueeze(1), normed, 1 + scale.unsqueeze(1))
    return y.to(x.dtype)


def plain(
    x: Tensor,
    sums: Tensor,
    weights: Tensor,
    correction: Tensor,
    representatives: Tensor,
    ids: Tensor,
    gamma: float,
    shift: Tensor,
    scale: Tensor,
) -> Any:
    y = torch.addcmul(x.float(), sums[0], weights[0, :, None, None])
    for each, weight in zip(sums[1:], weights[1:], strict=True):
        y.addcmul_(each, weight[:, None, None])
    y.add_(spread(gamma * correction, ids))
    y[batch_index(ids), representatives] += (1 - gamma) * correction
    return followed(y, x, shift, scale)


def fusible(
    x: Tensor,
    sums: Tensor,
    weights: Tensor,
    correction: Tensor,
    representatives: Tensor,
    ids: Tensor,
    gamma: float,
    shift: Tensor,
    scale: Tensor,
) -> Any:
    batch = batch_index(ids)
    y = x + sum(each * weight[:, None, None] for each, weight in zip(sums, weights, strict=True))
    is_representative = representatives[batch, ids] == torch.arange(x.shape[1], device=x.device)
    share = torch.where(is_representative, 1.0, gamma)
    return followed(y + share.unsqueeze(-1) * correction[batch, ids], x, shift, scale)


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    B, N, D = case.model.B, case.model.N, case.model.D
    sums = torch.randn(case.C, B, N, D, device=case.device)
    weights = torch.randn(case.C, B, device=case.device)
    ids, representatives = clusters(case)
    learnt = torch.randn(B, case.K, D, device=case.device), representatives, ids, GAMMA
    rows = [modulation(case).float() if case.norm == "layer" else None for _ in range(2)]
    return random_tokens(case), sums, weights, *learnt, *rows


def work(case: Case) -> Work:
    x, sums, _, correction, representatives, ids, *_ = args = arguments(case)
    moved = nbytes(x, x, sums, correction, representatives, ids)  # x once, out once
    return Work(ours, plain, args, bytes_moved=moved, fusible=fusible)
