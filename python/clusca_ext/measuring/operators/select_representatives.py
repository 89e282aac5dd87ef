"""select_representatives against a random permutation whose last write to a cluster stays."""

from typing import Any

import torch
from torch import Tensor

from clusca_ext import ops
from clusca_ext.measuring.inputs import clusters, nbytes, shared
from clusca_ext.measuring.shapes import CLUSTERS, Case, cases
from clusca_ext.measuring.work import Work

CASES = cases(dtypes=(torch.int32,), K=CLUSTERS)


def plain(cluster_ids: Tensor, num_clusters: int, seed: Tensor) -> Any:
    B, N = cluster_ids.shape
    tokens = torch.randperm(N, device=cluster_ids.device, dtype=torch.int32)
    empty = tokens.new_full((B, num_clusters), -1)
    return empty.scatter_(1, cluster_ids[:, tokens].long(), tokens.expand(B, N))


def fusible(cluster_ids: Tensor, num_clusters: int, seed: Tensor) -> Any:
    """The highest of random keys; torch.compile has no random permutation of its own."""
    B, N = cluster_ids.shape
    clusters = torch.arange(num_clusters, device=cluster_ids.device).unsqueeze(1)
    keys = torch.rand(B, 1, N, device=cluster_ids.device)
    return torch.where(cluster_ids.unsqueeze(1) == clusters, keys, -1).argmax(-1).int()


@shared
def arguments(case: Case) -> tuple[Any, ...]:
    ids, _ = clusters(case)
    return ids, case.K, torch.tensor([0, 1], device=case.device)


def work(case: Case) -> Work:
    ids, K, _ = args = arguments(case)
    moved = nbytes(ids) + 4 * len(ids) * K
    return Work(
        ops.select_representatives,
        plain,
        args,
        bytes_moved=moved,
        fusible=fusible,
        comparable=False,  # each draws its own
    )
