"""What many modules forecast for five steps, summed at once, against one addcmul_ a factor."""

from typing import Any

import torch
from torch import Tensor

from clusca_ext import ops
from clusca_ext.measuring.inputs import nbytes, random_tokens, shared
from clusca_ext.measuring.shapes import Case, cases
from clusca_ext.measuring.work import Work

CASES = cases(O=(1, 2), M=(8,), S=(5, 3))


def ours(sums: Tensor, factors: list[Tensor], gates: list[Tensor], weights: list[Tensor]) -> Any:
    ops.collapse_forecasts_(sums, factors, gates, weights)
    return sums


def terms(factors: list[Tensor], gates: list[Tensor], weights: list[Tensor]) -> Any:
    """What every factor is multiplied by, at every step [S, B, 1, D], and the factor [B, N, D]."""
    for of_module, gate, each in zip(factors, gates, weights, strict=True):
        for i, factor in enumerate(of_module):
            yield (each[:, i, None, None] * gate).unsqueeze(2), factor


def plain(sums: Tensor, factors: list[Tensor], gates: list[Tensor], weights: list[Tensor]) -> Any:
    sums.zero_()
    for scale, factor in terms(factors, gates, weights):
        sums.addcmul_(scale, factor)
    return sums


def fusible(sums: Tensor, factors: list[Tensor], gates: list[Tensor], weights: list[Tensor]) -> Any:
    return sums.copy_(sum(scale * factor for scale, factor in terms(factors, gates, weights)))


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    B, N, D = case.model.B, case.model.N, case.model.D
    factors = [random_tokens(case, case.O + 1) for _ in range(case.M)]
    gates = [torch.randn(case.S, B, D, dtype=case.dtype, device=case.device) for _ in factors]
    weights = [torch.randn(case.S, case.O + 1, device=case.device) for _ in factors]
    return torch.empty(case.S, B, N, D, device=case.device), factors, gates, weights


def work(case: Case) -> Work:
    sums, factors, gates, weights = args = arguments(case)
    return Work(ours, plain, args, bytes_moved=nbytes(sums, *factors, *gates), fusible=fusible)
