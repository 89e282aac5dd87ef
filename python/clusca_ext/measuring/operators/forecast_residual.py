"""forecast_residual_ against one addcmul_ a factor."""

from typing import Any

from torch import Tensor

from clusca_ext import ops
from clusca_ext.measuring.inputs import DISTANCE, modulation, nbytes, random_tokens, shared
from clusca_ext.measuring.peers import taylor_weights
from clusca_ext.measuring.shapes import Case, cases
from clusca_ext.measuring.work import Work

CASES = cases(O=(1, 4))


def plain(x: Tensor, factors: Tensor, gate: Tensor, distance: float) -> Any:
    for factor, weight in zip(factors, taylor_weights(distance, len(factors)), strict=True):
        x.addcmul_(gate.unsqueeze(1), factor, value=weight)


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    return random_tokens(case), random_tokens(case, case.O + 1), modulation(case), DISTANCE


def work(case: Case) -> Work:
    x, factors, gate, _ = args = arguments(case)
    return Work(ops.forecast_residual_, plain, args, bytes_moved=nbytes(x, x, factors, gate))
