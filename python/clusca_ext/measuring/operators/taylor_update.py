"""taylor_update_ against differences of tensors that are kept, order 0 without a copy."""

from typing import Any

import torch
from torch import Tensor

from clusca_ext import ops
from clusca_ext.measuring.inputs import SPACING, nbytes, random_tokens, shared
from clusca_ext.measuring.shapes import Case, cases
from clusca_ext.measuring.work import Work

CASES = cases(O=(1, 4))


def plain(factors: Tensor, feature: Tensor, spacing: float) -> Any:
    """The new factors as a list: the feature itself is the first, the old ones stay as they are."""
    updated = [feature]
    for old in factors[:-1]:
        updated.append(torch.sub(updated[-1], old).mul_(1 / spacing))
    return updated


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    return random_tokens(case, case.O + 1), random_tokens(case), SPACING


def work(case: Case) -> Work:
    factors, feature, _ = args = arguments(case)
    moved = nbytes(feature, factors, factors[:-1])  # the last factor is not read
    return Work(ops.taylor_update_, plain, args, bytes_moved=moved)
