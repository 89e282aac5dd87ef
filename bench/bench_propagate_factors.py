"""propagate_factors_ against lerp_ with selected rows, in place."""

from clusca_ext.measuring.operators import propagate_factors as operator

CASES = operator.CASES


def bench_propagate_factors(measure, case):
    measure(operator.work(case))
