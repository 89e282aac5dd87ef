"""taylor_forecast against a chain of scaled additions."""

from typing import Any

from clusca_ext import ops
from clusca_ext.measuring.inputs import DISTANCE, nbytes, random_tokens, shared
from clusca_ext.measuring.peers import forecast
from clusca_ext.measuring.shapes import Case, cases
from clusca_ext.measuring.work import Work

CASES = cases(O=(1, 4))


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    return random_tokens(case, case.O + 1), DISTANCE


def work(case: Case) -> Work:
    factors, _ = args = arguments(case)
    return Work(ops.taylor_forecast, forecast, args, bytes_moved=nbytes(factors, factors[0]))
