"""kmeans_step against assignment, then sums by cluster: the tokens are read twice."""

from typing import Any

from torch import Tensor

from clusca_ext import ops
from clusca_ext.measuring.inputs import nbytes, random_start, shared, surface_tokens
from clusca_ext.measuring.peers_kmeans import (
    cluster_sums,
    cluster_sums_by_product,
    nearest,
    nearest_fusible,
    widened,
)
from clusca_ext.measuring.shapes import CLUSTERS, Case, cases
from clusca_ext.measuring.work import Work

CASES = cases(K=CLUSTERS, metric=("l2", "l1"))


def plain(tokens: Tensor, centroids: Tensor, metric: str) -> Any:
    tokens = widened(tokens)
    ids, _ = nearest(tokens, centroids, metric)
    return ids.int(), *cluster_sums(tokens, ids, centroids.shape[1])


def fusible(tokens: Tensor, centroids: Tensor, metric: str) -> Any:
    tokens = widened(tokens)
    ids, _ = nearest_fusible(tokens, centroids, metric)
    return ids.int(), *cluster_sums_by_product(tokens, ids, centroids.shape[1])


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    tokens = surface_tokens(case)
    return tokens, random_start(tokens, case.K), case.metric


def work(case: Case) -> Work:
    tokens, centroids, _ = args = arguments(case)
    labels = 4 * tokens.shape[0] * tokens.shape[1]
    moved = nbytes(tokens, centroids, centroids) + labels  # the sums are as large as the centroids
    return Work(
        ops.kmeans_step,
        plain,
        args,
        bytes_moved=moved,
        fusible=fusible,
        multiply_adds=case.multiply_adds,
    )
