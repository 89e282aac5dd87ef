"""What many modules forecast for five steps, summed at once, against one addcmul_ a factor."""

import torch

from clusca_ext import ops
from inputs import nbytes, random_tokens, shared
from shapes import cases
from timing import DEVICE

CASES = cases(O=(1, 2), M=(8,), S=(5, 3))


def ours(sums, factors, gates, weights):
    ops.collapse_forecasts_(sums, factors, gates, weights)
    return sums


def terms(factors, gates, weights):
    """What every factor is multiplied by, at every step [S, B, 1, D], and the factor [B, N, D]."""
    for of_module, gate, each in zip(factors, gates, weights, strict=True):
        for i, factor in enumerate(of_module):
            yield (each[:, i, None, None] * gate).unsqueeze(2), factor


def plain(sums, factors, gates, weights):
    sums.zero_()
    for scale, factor in terms(factors, gates, weights):
        sums.addcmul_(scale, factor)
    return sums


def fusible(sums, factors, gates, weights):
    return sums.copy_(sum(scale * factor for scale, factor in terms(factors, gates, weights)))


@shared
def arguments(case):
    B, N, D = case.model.B, case.model.N, case.model.D
    factors = [random_tokens(case, case.O + 1) for _ in range(case.M)]
    gates = [torch.randn(case.S, B, D, dtype=case.dtype, device=DEVICE) for _ in factors]
    weights = [torch.randn(case.S, case.O + 1, device=DEVICE) for _ in factors]
    return torch.empty(case.S, B, N, D, device=DEVICE), factors, gates, weights


def bench_collapse_forecasts(measure, case):
    sums, factors, gates, weights = args = arguments(case)
    measure(ours, plain, args, bytes_moved=nbytes(sums, *factors, *gates), fusible=fusible)
