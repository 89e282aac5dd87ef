"""taylor_forecast against a chain of scaled additions."""

from clusca_ext import ops
from inputs import DISTANCE, nbytes, random_tokens, shared
from peers import forecast
from shapes import cases

CASES = cases(O=(1, 4))


@shared
def arguments(case):
    return random_tokens(case, case.O + 1), DISTANCE


def bench_taylor_forecast(measure, case):
    factors, _ = args = arguments(case)
    measure(ops.taylor_forecast, forecast, args, bytes_moved=nbytes(factors, factors[0]))
