"""select_nearest against the lowest of (distance, token) pairs packed into int64."""

import torch

from clusca_ext import ops
from inputs import clusters, nbytes, shared
from shapes import CLUSTERS, cases
from timing import DEVICE

CASES = cases(dtypes=(torch.int32,), K=CLUSTERS)


def plain(cluster_ids, distances, num_clusters):
    token = torch.arange(cluster_ids.shape[1], device=cluster_ids.device)
    pairs = (
        distances.view(torch.int32).long() << 32 | token
    )  # order of floats that are not negative
    highest = pairs.new_full((len(pairs), num_clusters), torch.iinfo(torch.int64).max)
    lowest = highest.scatter_reduce_(1, cluster_ids.long(), pairs, "amin")
    return (lowest & 0xFFFFFFFF).int()  # an empty cluster ends at -1


@shared
def arguments(case):
    ids, _ = clusters(case)
    return ids, torch.rand(ids.shape, device=DEVICE), case.K


def bench_select_nearest(measure, case):
    ids, distances, K = args = arguments(case)
    moved = nbytes(ids, distances) + 4 * len(ids) * K
    measure(ops.select_nearest, plain, args, bytes_moved=moved)
