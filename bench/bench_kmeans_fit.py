"""kmeans_fit against as many plain Lloyd iterations, without a test of convergence."""

from dataclasses import replace

import peers_flash
from clusca_ext.measuring.operators import kmeans_fit as operator
from kmeans_variants import variants_of

CASES = operator.CASES


def variants(case):
    flash = peers_flash.fit, peers_flash.fit_by_product
    return variants_of(case, operator.fit, operator.plain, *flash)


def bench_kmeans_fit(measure, case):
    measure(replace(operator.work(case), variants=variants(case)))
