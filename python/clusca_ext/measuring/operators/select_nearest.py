"""select_nearest against the lowest of (distance, token) pairs packed into int64."""

from typing import Any

import torch
from torch import Tensor

from clusca_ext import ops
from clusca_ext.measuring.inputs import clusters, nbytes, shared
from clusca_ext.measuring.shapes import CLUSTERS, Case, cases
from clusca_ext.measuring.work import Work

CASES = cases(dtypes=(torch.int32,), K=CLUSTERS)


def plain(cluster_ids: Tensor, distances: Tensor, num_clusters: int) -> Any:
    token = torch.arange(cluster_ids.shape[1], device=cluster_ids.device)
    pairs = (
        distances.view(torch.int32).long() << 32 | token
    )  # order of floats that are not negative
    highest = pairs.new_full((len(pairs), num_clusters), torch.iinfo(torch.int64).max)
    lowest = highest.scatter_reduce_(1, cluster_ids.long(), pairs, "amin")
    return (lowest & 0xFFFFFFFF).int()  # an empty cluster ends at -1


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    ids, _ = clusters(case)
    return ids, torch.rand(ids.shape, device=case.device), case.K


def work(case: Case) -> Work:
    ids, distances, K = args = arguments(case)
    moved = nbytes(ids, distances) + 4 * len(ids) * K
    return Work(ops.select_nearest, plain, args, bytes_moved=moved)
