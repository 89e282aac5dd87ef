"""gather_representatives against indexing, F.layer_norm and addcmul on the gathered rows."""

from clusca_ext.measuring.operators import gather_representatives as operator

CASES = operator.CASES


def bench_gather_representatives(measure, case):
    measure(operator.work(case))
