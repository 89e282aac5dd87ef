"""A feature added into C sums at once, against torch's addcmul_."""

from clusca_ext.measuring.operators import lean_accumulate as operator

CASES = operator.CASES


def bench_lean_accumulate(measure, case):
    measure(operator.work(case))
