"""What a run keeps in memory, by kind."""

import torch
from torch import Tensor, nn

from clusca_ext.cache import Cache
from clusca_ext.correction import Clusters
from clusca_ext.storage.per_block import PerBlock


def weights_bytes(models: list[nn.Module]) -> int:
    """Parameters and buffers, each once."""
    tensors = [t for model in models for t in (*model.parameters(), *model.buffers())]
    return sum({t.data_ptr() or id(t): t.nbytes for t in tensors}.values())


def cache_bytes(caches: list[Cache]) -> dict[str, int]:
    """What the caches hold now, all branches of guidance together."""
    parts: dict[str, int] = {}

    def add(kind: str, size: int) -> None:
        if size:
            parts[kind] = parts.get(kind, 0) + size

    for cache in caches:
        seen: set[int] = set()
        for branch in cache.branches.values():
            storage = branch.storage
            if isinstance(storage, PerBlock):
                ahead = storage.ahead.bytes()
                add("cached outputs", storage.bytes() - ahead)
                add("sums of coming steps", ahead)
            else:
                add("lean sums, rows and gates", storage.bytes())
            add("planned modulation", branch.plan.bytes())
            if isinstance(branch.clusters, Clusters) and id(branch.clusters) not in seen:
                seen.add(id(branch.clusters))
                add("clusters", _clusters_bytes(branch.clusters))
    return parts


def _clusters_bytes(clusters: Clusters) -> int:
    held = (clusters.centroids, *(getattr(clusters, n, None) for n in _LABELS))
    return sum(each.nbytes for each in held if isinstance(each, Tensor))


_LABELS = ("cluster_ids", "distances", "row_ids")


def peak_bytes(device: torch.device) -> int | None:
    """The most that was allocated since the recorder began; None: only CUDA counts it."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
