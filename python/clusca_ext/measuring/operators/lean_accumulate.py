"""A feature added into C sums at once, against torch's addcmul_."""

from typing import Any

import torch
from torch import Tensor

from clusca_ext import ops
from clusca_ext.measuring.inputs import nbytes, random_tokens, shared
from clusca_ext.measuring.shapes import Case, cases
from clusca_ext.measuring.work import Work

CASES = cases(C=(2, 4, 8))


def one_by_one(accumulators: Tensor, feature: Tensor, phi: Tensor) -> Any:
    feature = feature.float()  # once; a CPU's addcmul_ of two dtypes is slower than both
    for accumulator, factor in zip(accumulators, phi, strict=True):
        accumulator.addcmul_(factor.unsqueeze(1), feature)


def at_once(accumulators: Tensor, feature: Tensor, phi: Tensor) -> Any:
    accumulators.addcmul_(phi.unsqueeze(2), feature)


def plain(accumulators: Tensor, feature: Tensor, phi: Tensor) -> None:
    (at_once if feature.is_cuda else one_by_one)(accumulators, feature, phi)


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    B, N, D = case.model.B, case.model.N, case.model.D
    accumulators = torch.zeros(case.C, B, N, D, device=case.device)
    return accumulators, random_tokens(case), torch.randn(case.C, B, D, device=case.device) * 0.01


def work(case: Case) -> Work:
    accumulators, feature, phi = args = arguments(case)
    moved = nbytes(accumulators, accumulators, feature, phi)
    return Work(ops.lean_accumulate_, plain, args, bytes_moved=moved, fusible=at_once)
