"""propagate_residual_ against a forecast, its propagation and one addcmul_."""

from functools import partial
from typing import Any

from torch import Tensor

from clusca_ext import ops
from clusca_ext.measuring.inputs import (
    DISTANCE,
    GAMMA,
    clusters,
    modulation,
    nbytes,
    random_rows,
    random_tokens,
    shared,
)
from clusca_ext.measuring.peers import forecast, propagated, propagated_fusible
from clusca_ext.measuring.shapes import CLUSTERS, Case, cases
from clusca_ext.measuring.work import Function, Work

CASES = cases(O=(1, 4), rule=("delta", "value"), K=CLUSTERS)


def plain(
    x: Tensor,
    factors: Tensor,
    computed: Tensor,
    representatives: Tensor,
    ids: Tensor,
    gate: Tensor,
    gamma: float,
    distance: float,
    rule: str,
    by: Function = propagated,
) -> Any:
    moved = by(forecast(factors, distance), computed, representatives, ids, gamma, rule)
    x.addcmul_(gate.unsqueeze(1), moved)


fusible = partial(plain, by=propagated_fusible)


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    ids, representatives = clusters(case)
    x, factors = random_tokens(case), random_tokens(case, case.O + 1)
    computed, gate = random_rows(case, case.K), modulation(case)
    return x, factors, computed, representatives, ids, gate, GAMMA, DISTANCE, case.rule


def work(case: Case) -> Work:
    x, factors, computed, _, ids, gate, *_ = args = arguments(case)
    moved = nbytes(x, x, factors, computed, ids, gate)
    return Work(ops.propagate_residual_, plain, args, bytes_moved=moved, fusible=fusible)
