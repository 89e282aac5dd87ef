"""propagate_factors_ against lerp_ with selected rows, in place."""

from typing import Any

from torch import Tensor

from clusca_ext import ops
from clusca_ext.measuring.inputs import GAMMA, clusters, nbytes, random_rows, random_tokens, shared
from clusca_ext.measuring.peers import batch_index, propagated_fusible, spread
from clusca_ext.measuring.shapes import CLUSTERS, Case, cases
from clusca_ext.measuring.work import Work

CASES = cases(O=(1,), K=CLUSTERS)


def plain(
    factors: Tensor, computed: Tensor, representatives: Tensor, cluster_ids: Tensor, gamma: float
) -> Any:
    factors[0].lerp_(spread(computed, cluster_ids), gamma)
    factors[0][batch_index(computed), representatives] = computed


def fusible(
    factors: Tensor, computed: Tensor, representatives: Tensor, cluster_ids: Tensor, gamma: float
) -> Any:
    out = propagated_fusible(factors[0], computed, representatives, cluster_ids, gamma, "value")
    factors[0].copy_(out)


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    ids, representatives = clusters(case)
    computed = random_rows(case, case.K)
    return random_tokens(case, case.O + 1), computed, representatives, ids, GAMMA


def work(case: Case) -> Work:
    factors, computed, _, ids, _ = args = arguments(case)
    moved = nbytes(factors[0], factors[0], computed, ids)
    return Work(ops.propagate_factors_, plain, args, bytes_moved=moved, fusible=fusible)
