"""propagate_residual_ against a forecast, its propagation and one addcmul_."""

from clusca_ext import ops
from inputs import DISTANCE, GAMMA, clusters, modulation, nbytes, random_rows, random_tokens, shared
from peers import forecast, propagated, propagated_fusible
from shapes import CLUSTERS, cases

CASES = cases(O=(1, 4), rule=("delta", "value"), K=CLUSTERS)


def plain(x, factors, computed, representatives, ids, gate, gamma, distance, rule, by=propagated):
    moved = by(forecast(factors, distance), computed, representatives, ids, gamma, rule)
    x.addcmul_(gate.unsqueeze(1), moved)


def fusible(*args):
    plain(*args, by=propagated_fusible)


@shared
def arguments(case):
    ids, representatives = clusters(case)
    x, factors = random_tokens(case), random_tokens(case, case.O + 1)
    computed, gate = random_rows(case, case.K), modulation(case)
    return x, factors, computed, representatives, ids, gate, GAMMA, DISTANCE, case.rule


def bench_propagate_residual(measure, case):
    x, factors, computed, _, ids, gate, *_ = args = arguments(case)
    moved = nbytes(x, x, factors, computed, ids, gate)
    measure(ops.propagate_residual_, plain, args, bytes_moved=moved, fusible=fusible)
