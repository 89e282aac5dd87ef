"""propagate_residual_ against a forecast, its propagation and one addcmul_."""

from clusca_ext.measuring.operators import propagate_residual as operator

CASES = operator.CASES


def bench_propagate_residual(measure, case):
    measure(operator.work(case))
