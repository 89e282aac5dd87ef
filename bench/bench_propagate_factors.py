"""propagate_factors_ against lerp_ with selected rows, in place."""

from clusca_ext import ops
from inputs import GAMMA, clusters, nbytes, random_rows, random_tokens, shared
from peers import batch_index, propagated_fusible, spread
from shapes import CLUSTERS, cases

CASES = cases(O=(1,), K=CLUSTERS)


def plain(factors, computed, representatives, cluster_ids, gamma):
    factors[0].lerp_(spread(computed, cluster_ids), gamma)
    factors[0][batch_index(computed), representatives] = computed


def fusible(factors, computed, representatives, cluster_ids, gamma):
    out = propagated_fusible(factors[0], computed, representatives, cluster_ids, gamma, "value")
    factors[0].copy_(out)


@shared
def arguments(case):
    ids, representatives = clusters(case)
    computed = random_rows(case, case.K)
    return random_tokens(case, case.O + 1), computed, representatives, ids, GAMMA


def bench_propagate_factors(measure, case):
    factors, computed, _, ids, _ = args = arguments(case)
    moved = nbytes(factors[0], factors[0], computed, ids)
    measure(ops.propagate_factors_, plain, args, bytes_moved=moved, fusible=fusible)
