"""carry_representatives_ of a computed module against indexed rows and two addcmul_."""

import torch

from clusca_ext import ops
from inputs import DISTANCE, clusters, modulation, nbytes, random_rows, random_tokens, shared
from peers import batch_index, forecast
from shapes import CLUSTERS, cases

CASES = cases(O=(1, 4), K=CLUSTERS)


def ours(offset, correction, *rest):
    ops.carry_representatives_(offset, correction, *rest)
    return offset, correction


def plain(offset, correction, factors, representatives, gate, computed, distance):
    rows = factors[:, batch_index(computed), representatives]
    gate = gate.unsqueeze(1)
    offset.addcmul_(gate, computed)
    correction.addcmul_(gate, computed - forecast(rows, distance))
    return offset, correction


@shared
def arguments(case):
    _, representatives = clusters(case)
    offset, correction = (torch.zeros_like(random_rows(case, case.K)).float() for _ in range(2))
    factors, computed = random_tokens(case, case.O + 1), random_rows(case, case.K)
    return offset, correction, factors, representatives, modulation(case), computed, DISTANCE


def bench_carry_representatives(measure, case):
    offset, correction, factors, representatives, gate, computed, _ = args = arguments(case)
    rows = (case.O + 1) * nbytes(computed)  # of the factors, which have its dtype
    sums = 2 * nbytes(offset, correction)  # read and written
    moved = rows + sums + nbytes(representatives, gate, computed)
    measure(ours, plain, args, bytes_moved=moved)
