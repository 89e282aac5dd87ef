"""select_representatives against a random permutation whose last write to a cluster stays."""

from clusca_ext.measuring.operators import select_representatives as operator

CASES = operator.CASES


def bench_select_representatives(measure, case):
    measure(operator.work(case))
