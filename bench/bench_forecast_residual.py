"""forecast_residual_ against one addcmul_ a factor."""

from clusca_ext import ops
from inputs import DISTANCE, modulation, nbytes, random_tokens, shared
from peers import taylor_weights
from shapes import cases

CASES = cases(O=(1, 4))


def plain(x, factors, gate, distance):
    for factor, weight in zip(factors, taylor_weights(distance, len(factors)), strict=True):
        x.addcmul_(gate.unsqueeze(1), factor, value=weight)


@shared
def arguments(case):
    return random_tokens(case), random_tokens(case, case.O + 1), modulation(case), DISTANCE


def bench_forecast_residual(measure, case):
    x, factors, gate, _ = args = arguments(case)
    measure(ops.forecast_residual_, plain, args, bytes_moved=nbytes(x, x, factors, gate))
