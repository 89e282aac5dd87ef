"""carry_representatives_ of a computed module against indexed rows and two addcmul_."""

from typing import Any

import torch
from torch import Tensor

from clusca_ext import ops
from clusca_ext.measuring.inputs import (
    DISTANCE,
    clusters,
    modulation,
    nbytes,
    random_rows,
    random_tokens,
    shared,
)
from clusca_ext.measuring.peers import batch_index, forecast
from clusca_ext.measuring.shapes import CLUSTERS, Case, cases
from clusca_ext.measuring.work import Work

CASES = cases(O=(1, 4), K=CLUSTERS)


def ours(offset: Tensor, correction: Tensor, *rest: Any) -> Any:
    ops.carry_representatives_(offset, correction, *rest)
    return offset, correction


def plain(
    offset: Tensor,
    correction: Tensor,
    factors: Tensor,
    representatives: Tensor,
    gate: Tensor,
    computed: Tensor,
    distance: float,
) -> Any:
    rows = factors[:, batch_index(computed), representatives]
    gate = gate.unsqueeze(1)
    offset.addcmul_(gate, computed)
    correction.addcmul_(gate, computed - forecast(rows, distance))
    return offset, correction


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    _, representatives = clusters(case)
    offset, correction = (torch.zeros_like(random_rows(case, case.K)).float() for _ in range(2))
    factors, computed = random_tokens(case, case.O + 1), random_rows(case, case.K)
    return offset, correction, factors, representatives, modulation(case), computed, DISTANCE


def work(case: Case) -> Work:
    offset, correction, factors, representatives, gate, computed, _ = args = arguments(case)
    rows = (case.O + 1) * nbytes(computed)  # of the factors, which have its dtype
    sums = 2 * nbytes(offset, correction)  # read and written
    moved = rows + sums + nbytes(representatives, gate, computed)
    return Work(ours, plain, args, bytes_moved=moved)
