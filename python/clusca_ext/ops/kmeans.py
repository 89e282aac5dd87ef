"""k-means over tokens: assignment, one Lloyd pass, a whole fit."""

import torch
from torch import Tensor

from clusca_ext.ops._dispatch import call, fake


def kmeans_assign(
    tokens: Tensor, centroids: Tensor, metric: str = "l2", kernel: str = "auto"
) -> tuple[Tensor, Tensor]:
    """Find the nearest centroid of every token.

    A token whose distance is not finite (NaN or infinity in it) gets cluster 0 at distance +inf.

    Kernels, of which labels are float64's where the margin between two centroids is wider than
    rounding:

    - ``"vector"`` takes everything.
    - ``"matrix"``, for l2: on CUDA tensor cores score float16 and bfloat16 tokens, on a CPU with
      AMX its tiles score bfloat16.
    - ``"cluster"``, as ``"matrix"`` on CUDA from sm_90 on: ``kmeans_step`` and the iterations of
      ``kmeans_fit`` read the tokens once, for labels and sums. K up to 32, D a multiple of 8, rows
      that start on 16 bytes; both K and D must fit shared memory (on an H200, D = 8192 with K = 16
      and 5120 with K = 32 do).
    - ``"auto"`` is the fastest one measured: ``"matrix"`` where it takes the tokens, on CUDA for K
      up to 16 (more are not measured there), else ``"vector"``.

    Args:
        tokens: What is clustered. [B, N, D]
        centroids: Cluster centres. [B, K, D] float32
        metric: ``"l2"`` (squared Euclidean distance) or ``"l1"``.
        kernel: One of those above.

    Returns:
        ``(cluster_ids, distances)``: the nearest centroid, the lowest at a tie, [B, N] int32, and
        its distance [B, N] float32.

    Raises:
        ValueError: A shape, dtype, device, stride, the metric or the kernel does not fit.
    """
    result: tuple[Tensor, Tensor] = call(
        torch.ops.clusca.kmeans_assign.default, tokens, centroids, metric, kernel
    )
    return result


def kmeans_step(
    tokens: Tensor, centroids: Tensor, metric: str = "l2", kernel: str = "auto"
) -> tuple[Tensor, Tensor, Tensor]:
    """Assign every token and sum the tokens of every cluster.

    The centroids of the next Lloyd iteration are ``sums / counts``. Tokens that are not finite are
    left out of both.

    Args:
        tokens: What is clustered. [B, N, D]
        centroids: Cluster centres. [B, K, D] float32
        metric: ``"l2"`` (squared Euclidean distance) or ``"l1"``.
        kernel: As in :func:`kmeans_assign`.

    Returns:
        ``(cluster_ids, sums, counts)``: [B, N] int32, [B, K, D] float32 and [B, K] int32.

    Raises:
        ValueError: A shape, dtype, device, stride, the metric or the kernel does not fit.
    """
    result: tuple[Tensor, Tensor, Tensor] = call(
        torch.ops.clusca.kmeans_step.default, tokens, centroids, metric, kernel
    )
    return result


def kmeans_fit(
    tokens: Tensor,
    centroids: Tensor,
    metric: str = "l2",
    max_iters: int = 10,
    rtol: float = 1e-4,
    kernel: str = "auto",
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Run Lloyd's algorithm from given centroids, each batch row until it has converged.

    A row stops when ``max |new - old| <= rtol * max |new|`` over its centroids; the device decides,
    without a host sync. Centroids are means also with ``"l1"``, as in ClusCa's released code
    (arXiv 2509.10312). An empty cluster keeps its centroid.

    Args:
        tokens: What is clustered. [B, N, D]
        centroids: Where to start; not changed. [B, K, D] float32
        metric: ``"l2"`` (squared Euclidean distance) or ``"l1"``.
        max_iters: Centroid updates at most; 0 only assigns, a million is the most.
        rtol: Relative change below which a row has converged.
        kernel: As in :func:`kmeans_assign`.

    Returns:
        ``(cluster_ids, distances, centroids, counts, iterations)``: [B, N] int32, [B, N] float32,
        [B, K, D] float32, [B, K] int32 and [B] int32. Labels, distances and counts are those of the
        centroids returned.

    Raises:
        ValueError: A shape, dtype, device, stride, the metric or the kernel does not fit,
            ``max_iters`` or ``rtol`` is negative.
    """
    result: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] = call(
        torch.ops.clusca.kmeans_fit.default, tokens, centroids, metric, max_iters, rtol, kernel
    )
    return result


@fake("clusca::kmeans_assign")
def _(
    tokens: Tensor, centroids: Tensor, metric: str = "l2", kernel_name: str = "auto"
) -> tuple[Tensor, Tensor]:
    ids = tokens.new_empty(tokens.shape[:2], dtype=torch.int32)
    return ids, ids.new_empty(ids.shape, dtype=torch.float32)


@fake("clusca::kmeans_step")
def _(
    tokens: Tensor, centroids: Tensor, metric: str = "l2", kernel_name: str = "auto"
) -> tuple[Tensor, Tensor, Tensor]:
    ids = tokens.new_empty(tokens.shape[:2], dtype=torch.int32)
    sums = centroids.new_empty(centroids.shape)
    return ids, sums, ids.new_empty(centroids.shape[:2])


@fake("clusca::kmeans_fit")
def _(
    tokens: Tensor,
    centroids: Tensor,
    metric: str = "l2",
    max_iters: int = 10,
    rtol: float = 1e-4,
    kernel_name: str = "auto",
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    ids = tokens.new_empty(tokens.shape[:2], dtype=torch.int32)
    distances = ids.new_empty(ids.shape, dtype=torch.float32)
    fitted = centroids.new_empty(centroids.shape)
    counts = ids.new_empty(centroids.shape[:2])
    return ids, distances, fitted, counts, ids.new_empty(tokens.shape[:1])
