"""kmeans_assign against a matrix product and its lowest entries (l2) or torch.cdist (l1)."""

import peers_flash
from clusca_ext import ops
from inputs import nbytes, random_start, shared, surface_tokens
from kmeans_variants import variants_of
from peers_kmeans import l2_distances, nearest, nearest_fusible, widened
from shapes import CLUSTERS, cases

CASES = cases(K=CLUSTERS, metric=("l2", "l1"))


def plain(tokens, centroids, metric, nearest=nearest):
    tokens = widened(tokens)
    ids, lowest = nearest(tokens, centroids, metric)
    return ids.int(), l2_distances(tokens, lowest) if metric == "l2" else lowest


def fusible(tokens, centroids, metric):
    return plain(tokens, centroids, metric, nearest_fusible)


def variants(case):
    return variants_of(case, ops.kmeans_assign, plain, peers_flash.assign, peers_flash.assign)


@shared
def arguments(case):
    tokens = surface_tokens(case)
    return tokens, random_start(tokens, case.K), case.metric


def bench_kmeans_assign(measure, case):
    tokens, centroids, _ = args = arguments(case)
    labels = 8 * tokens.shape[0] * tokens.shape[1]  # int32 ids and float32 distances
    moved = nbytes(tokens, centroids) + labels
    measure(
        ops.kmeans_assign,
        plain,
        args,
        bytes_moved=moved,
        fusible=fusible,
        multiply_adds=case.multiply_adds,
        variants=variants(case),
    )
