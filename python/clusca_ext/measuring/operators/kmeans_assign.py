"""kmeans_assign against a matrix product and its lowest entries (l2) or torch.cdist (l1)."""

from typing import Any

from torch import Tensor

from clusca_ext import ops
from clusca_ext.measuring.inputs import nbytes, random_start, shared, surface_tokens
from clusca_ext.measuring.peers_kmeans import l2_distances, nearest, nearest_fusible, widened
from clusca_ext.measuring.shapes import CLUSTERS, Case, cases
from clusca_ext.measuring.work import Function, Work

CASES = cases(K=CLUSTERS, metric=("l2", "l1"))


def plain(tokens: Tensor, centroids: Tensor, metric: str, nearest: Function = nearest) -> Any:
    tokens = widened(tokens)
    ids, lowest = nearest(tokens, centroids, metric)
    return ids.int(), l2_distances(tokens, lowest) if metric == "l2" else lowest


def fusible(tokens: Tensor, centroids: Tensor, metric: str) -> Any:
    return plain(tokens, centroids, metric, nearest_fusible)


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    tokens = surface_tokens(case)
    return tokens, random_start(tokens, case.K), case.metric


def work(case: Case) -> Work:
    tokens, centroids, _ = args = arguments(case)
    labels = 8 * tokens.shape[0] * tokens.shape[1]  # int32 ids and float32 distances
    moved = nbytes(tokens, centroids) + labels
    return Work(
        ops.kmeans_assign,
        plain,
        args,
        bytes_moved=moved,
        fusible=fusible,
        multiply_adds=case.multiply_adds,
    )
