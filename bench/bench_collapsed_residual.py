"""Many modules' updates in one pass against one addcmul_ a factor."""

from clusca_ext.measuring.operators import collapsed_residual as operator

CASES = operator.CASES


def bench_collapsed_residual(measure, case):
    measure(operator.work(case))
