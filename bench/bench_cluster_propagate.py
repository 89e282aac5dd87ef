"""cluster_propagate against selected rows and lerp (value) or their difference added (delta)."""

from clusca_ext import ops
from inputs import GAMMA, clusters, nbytes, random_rows, random_tokens, shared
from peers import propagated, propagated_fusible
from shapes import CLUSTERS, cases

CASES = cases(rule=("value", "delta"), K=CLUSTERS)


@shared
def arguments(case):
    ids, representatives = clusters(case)
    computed = random_rows(case, case.K)
    return random_tokens(case), computed, representatives, ids, GAMMA, case.rule


def bench_cluster_propagate(measure, case):
    forecast, computed, _, ids, *_ = args = arguments(case)
    moved = nbytes(forecast, forecast, computed, ids)  # one read, one write
    measure(ops.cluster_propagate, propagated, args, bytes_moved=moved, fusible=propagated_fusible)
