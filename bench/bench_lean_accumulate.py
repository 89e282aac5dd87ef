"""A feature added into C sums at once, against torch's addcmul_."""

import torch

from clusca_ext import ops
from inputs import nbytes, random_tokens, shared
from shapes import cases
from timing import DEVICE

CASES = cases(C=(2, 4, 8))


def one_by_one(accumulators, feature, phi):
    feature = feature.float()  # once; a CPU's addcmul_ of two dtypes is slower than both
    for accumulator, factor in zip(accumulators, phi, strict=True):
        accumulator.addcmul_(factor.unsqueeze(1), feature)


def at_once(accumulators, feature, phi):
    accumulators.addcmul_(phi.unsqueeze(2), feature)


plain = at_once if DEVICE == "cuda" else one_by_one


@shared
def arguments(case):
    B, N, D = case.model.B, case.model.N, case.model.D
    accumulators = torch.zeros(case.C, B, N, D, device=DEVICE)
    return accumulators, random_tokens(case), torch.randn(case.C, B, D, device=DEVICE) * 0.01


def bench_lean_accumulate(measure, case):
    accumulators, feature, phi = args = arguments(case)
    moved = nbytes(accumulators, accumulators, feature, phi)
    measure(ops.lean_accumulate_, plain, args, bytes_moved=moved, fusible=at_once)
