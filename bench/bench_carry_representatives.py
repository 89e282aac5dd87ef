"""carry_representatives_ of a computed module against indexed rows and two addcmul_."""

from clusca_ext.measuring.operators import carry_representatives as operator

CASES = operator.CASES


def bench_carry_representatives(measure, case):
    measure(operator.work(case))
