"""Representatives: choosing one token a cluster, and gathering what their MLP reads."""

import torch
from torch import Tensor

from clusca_ext.ops._dispatch import call, fake


def select_representatives(
    cluster_ids: Tensor, num_clusters: int, seed: Tensor, layer: int = 0
) -> Tensor:
    """Draw a uniformly random member of every cluster.

    The draw is a hash of (sample seed, counter, layer, token): the same alone or in a batch, on CPU
    and CUDA, and whatever torch's own generators did. Drawing a random member is ClusCa's choice
    (arXiv 2509.10312).

    Args:
        cluster_ids: Cluster of every token; values outside [0, num_clusters) are ignored.
            [B, N] int32
        num_clusters: Number of clusters K.
        seed: ``(sample seed, counter)``, for all rows or for each. [2] or [B, 2] int64
        layer: A third number to hash, for draws of its own in every layer.

    Returns:
        Token of each cluster, -1 for an empty one. [B, K] int32

    Raises:
        ValueError: A shape, dtype, device or stride does not fit, ``num_clusters`` is below 1.
    """
    result: Tensor = call(
        torch.ops.clusca.select_representatives.default, cluster_ids, num_clusters, seed, layer
    )
    return result


def select_nearest(cluster_ids: Tensor, distances: Tensor, num_clusters: int) -> Tensor:
    """Choose the member of every cluster that lies closest to its centroid.

    Args:
        cluster_ids: Cluster of every token; values outside [0, num_clusters) are ignored.
            [B, N] int32
        distances: Distance to the own centroid; a token whose distance is not finite is not chosen.
            [B, N] float32
        num_clusters: Number of clusters K.

    Returns:
        Token of each cluster, the lowest at a tie, -1 for an empty one. [B, K] int32

    Raises:
        ValueError: A shape, dtype, device or stride does not fit, ``num_clusters`` is below 1.
    """
    result: Tensor = call(
        torch.ops.clusca.select_nearest.default, cluster_ids, distances, num_clusters
    )
    return result


def gather_representatives(
    tokens: Tensor,
    representatives: Tensor,
    shift: Tensor | None = None,
    scale: Tensor | None = None,
    eps: float = 1e-6,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    norm: str = "layer",
    offset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Gather the representatives' rows, and norm and modulate them for their MLP.

    ``modulated = (norm(rows + offset) * weight + bias) * (1 + scale) + shift``.

    Args:
        tokens: The stream. [B, N, D]
        representatives: Tokens to gather; one outside [0, N) gives rows of zeros. [B, K] int32
        shift: Added after the norm; float32 or the dtype of ``tokens``.
            [B, D], [B, 1, D] or, per token, [B, N, D]
        scale: As ``shift``, multiplied in as ``1 + scale``.
        eps: Added to the variance (or mean square).
        weight: The norm's own weight. [D]
        bias: The norm's own bias. [D]
        norm: ``"layer"``, ``"rms"`` or ``"none"``.
        offset: Added to the rows, as what ``carry_representatives_`` has summed. [B, K, D] float32

    Returns:
        ``(rows, modulated)``, rows with their offset, both of the dtype of ``tokens``. [B, K, D]

    Raises:
        ValueError: A shape, dtype, device, stride or the norm does not fit, ``eps`` is negative.
    """
    result: tuple[Tensor, Tensor] = call(
        torch.ops.clusca.gather_representatives.default,
        tokens,
        representatives,
        shift,
        scale,
        eps,
        weight,
        bias,
        norm,
        offset,
    )
    return result


@fake("clusca::select_representatives")
def _(cluster_ids: Tensor, num_clusters: int, seed: Tensor, layer: int = 0) -> Tensor:
    return cluster_ids.new_empty((cluster_ids.shape[0], num_clusters))


@fake("clusca::select_nearest")
def _(cluster_ids: Tensor, distances: Tensor, num_clusters: int) -> Tensor:
    return cluster_ids.new_empty((cluster_ids.shape[0], num_clusters))


@fake("clusca::gather_representatives")
def _(
    tokens: Tensor,
    representatives: Tensor,
    shift: Tensor | None = None,
    scale: Tensor | None = None,
    eps: float = 1e-6,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    norm: str = "layer",
    offset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    rows = tokens.new_empty((*representatives.shape, tokens.shape[2]))
    return rows, torch.empty_like(rows)
