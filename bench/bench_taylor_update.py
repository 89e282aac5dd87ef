"""taylor_update_ against differences of tensors that are kept, order 0 without a copy."""

from clusca_ext.measuring.operators import taylor_update as operator

CASES = operator.CASES


def bench_taylor_update(measure, case):
    measure(operator.work(case))
