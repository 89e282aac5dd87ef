"""The stream after a lean cached step and the norm that follows it, against torch's one by one.

Sums are float32, as they are accumulated, beside a stream of the case's dtype.
"""

import torch
import torch.nn.functional as F

from clusca_ext import ops
from inputs import GAMMA, clusters, modulation, nbytes, random_tokens, shared
from peers import batch_index, spread
from shapes import CLUSTERS, cases
from timing import DEVICE

EPS = 1e-6
CASES = cases(norm=("layer", "none"), C=(2, 5), K=CLUSTERS)


def ours(x, sums, weights, correction, representatives, ids, gamma, shift, scale):
    learnt = correction, representatives, ids, gamma
    follows = (shift, scale, EPS, None, None, "layer") if shift is not None else ()
    return ops.lean_output(x, sums, weights, *learnt, *follows)


def followed(y, x, shift, scale):
    if shift is not None:
        normed = F.layer_norm(y, y.shape[-1:], eps=EPS)
        y = torch.addcmul(shift.unsqueeze(1), normed, 1 + scale.unsqueeze(1))
    return y.to(x.dtype)


def plain(x, sums, weights, correction, representatives, ids, gamma, shift, scale):
    y = torch.addcmul(x.float(), sums[0], weights[0, :, None, None])
    for each, weight in zip(sums[1:], weights[1:], strict=True):
        y.addcmul_(each, weight[:, None, None])
    y.add_(spread(gamma * correction, ids))
    y[batch_index(ids), representatives] += (1 - gamma) * correction
    return followed(y, x, shift, scale)


def fusible(x, sums, weights, correction, representatives, ids, gamma, shift, scale):
    batch = batch_index(ids)
    y = x + sum(each * weight[:, None, None] for each, weight in zip(sums, weights, strict=True))
    is_representative = representatives[batch, ids] == torch.arange(x.shape[1], device=x.device)
    share = torch.where(is_representative, 1.0, gamma)
    return followed(y + share.unsqueeze(-1) * correction[batch, ids], x, shift, scale)


@shared
def arguments(case):
    B, N, D = case.model.B, case.model.N, case.model.D
    sums = torch.randn(case.C, B, N, D, device=DEVICE)
    weights = torch.randn(case.C, B, device=DEVICE)
    ids, representatives = clusters(case)
    learnt = torch.randn(B, case.K, D, device=DEVICE), representatives, ids, GAMMA
    rows = [modulation(case).float() if case.norm == "layer" else None for _ in range(2)]
    return random_tokens(case), sums, weights, *learnt, *rows


def bench_lean_output(measure, case):
    x, sums, _, correction, representatives, ids, *_ = args = arguments(case)
    moved = nbytes(x, x, sums, correction, representatives, ids)  # x once, out once
    measure(ours, plain, args, bytes_moved=moved, fusible=fusible)
