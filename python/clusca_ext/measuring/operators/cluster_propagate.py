"""cluster_propagate against selected rows and lerp (value) or their difference added (delta)."""

from typing import Any

from clusca_ext import ops
from clusca_ext.measuring.inputs import GAMMA, clusters, nbytes, random_rows, random_tokens, shared
from clusca_ext.measuring.peers import propagated, propagated_fusible
from clusca_ext.measuring.shapes import CLUSTERS, Case, cases
from clusca_ext.measuring.work import Work

CASES = cases(rule=("value", "delta"), K=CLUSTERS)


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    ids, representatives = clusters(case)
    computed = random_rows(case, case.K)
    return random_tokens(case), computed, representatives, ids, GAMMA, case.rule


def work(case: Case) -> Work:
    forecast, computed, _, ids, *_ = args = arguments(case)
    moved = nbytes(forecast, forecast, computed, ids)  # one read, one write
    return Work(
        ops.cluster_propagate, propagated, args, bytes_moved=moved, fusible=propagated_fusible
    )
