"""taylor_update_ against differences of tensors that are kept, order 0 without a copy."""

import torch

from clusca_ext import ops
from inputs import SPACING, nbytes, random_tokens, shared
from shapes import cases

CASES = cases(O=(1, 4))


def plain(factors, feature, spacing):
    """The new factors as a list: the feature itself is the first, the old ones stay as they are."""
    updated = [feature]
    for old in factors[:-1]:
        updated.append(torch.sub(updated[-1], old).mul_(1 / spacing))
    return updated


@shared
def arguments(case):
    return random_tokens(case, case.O + 1), random_tokens(case), SPACING


def bench_taylor_update(measure, case):
    factors, feature, _ = args = arguments(case)
    moved = nbytes(feature, factors, factors[:-1])  # the last factor is not read
    measure(ops.taylor_update_, plain, args, bytes_moved=moved)
