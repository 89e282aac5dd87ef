"""kmeans_step against assignment, then sums by cluster: the tokens are read twice."""

import peers_flash
from clusca_ext import ops
from inputs import nbytes, random_start, shared, surface_tokens
from kmeans_variants import variants_of
from peers_kmeans import cluster_sums, cluster_sums_by_product, nearest, nearest_fusible, widened
from shapes import CLUSTERS, cases

CASES = cases(K=CLUSTERS, metric=("l2", "l1"))


def plain(tokens, centroids, metric):
    tokens = widened(tokens)
    ids, _ = nearest(tokens, centroids, metric)
    return ids.int(), *cluster_sums(tokens, ids, centroids.shape[1])


def fusible(tokens, centroids, metric):
    tokens = widened(tokens)
    ids, _ = nearest_fusible(tokens, centroids, metric)
    return ids.int(), *cluster_sums_by_product(tokens, ids, centroids.shape[1])


def variants(case):
    ours, flash = ops.kmeans_step, (peers_flash.step, peers_flash.step_by_product)
    return variants_of(case, ours, plain, *flash)


@shared
def arguments(case):
    tokens = surface_tokens(case)
    return tokens, random_start(tokens, case.K), case.metric


def bench_kmeans_step(measure, case):
    tokens, centroids, _ = args = arguments(case)
    labels = 4 * tokens.shape[0] * tokens.shape[1]
    moved = nbytes(tokens, centroids, centroids) + labels  # the sums are as large as the centroids
    measure(
        ops.kmeans_step,
        plain,
        args,
        bytes_moved=moved,
        fusible=fusible,
        multiply_adds=case.multiply_adds,
        variants=variants(case),
    )
