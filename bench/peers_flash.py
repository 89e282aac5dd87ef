"""flash-kmeans, for l2 on a GPU, where it is installed: as it comes, and with other sums.

Its update holds a tile of 256 whole tokens, which is meant for short ones. For those of diffusion
models its assignment is also followed by sums as a matrix product, as plain torch has them. Both
have centroids in the tokens' dtype, and return None for what they do not compute.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from clusca_ext.measuring.peers_kmeans import cluster_sums_by_product, means
from peers_probe import try_out
from results import NotMeasured

PACKAGE = "flash_kmeans"
PROBE = """
import torch
from flash_kmeans import triton_centroid_update_sorted_euclid as update
tokens = torch.zeros(1, 4096, {D}, dtype={dtype}, device="cuda")
ids = torch.zeros(1, 4096, dtype=torch.int32, device="cuda")
update(tokens, ids, tokens[:, :16].clone())
torch.cuda.synchronize()
"""


def peer(function: Callable[..., Any]) -> Callable[..., Any]:
    """Whatever the package cannot do is not ours to mend: the row says so."""

    @wraps(function)
    def called(*args: Any) -> Any:
        try:
            import_module(PACKAGE)
            return function(*args)
        except (NotMeasured, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and error.name == PACKAGE:
                raise NotMeasured("not installed") from None
            text = " ".join(str(error).split())[:200]
            raise NotMeasured(f"{PACKAGE}: {type(error).__name__}: {text}") from error

    return called


def squares_of(tokens: Tensor) -> Tensor:  # [B, N] float32
    return torch.linalg.vector_norm(tokens, dim=-1, dtype=torch.float32).square_()


def nearest(tokens: Tensor, centroids: Tensor, squares: Tensor) -> Tensor:  # [B, N] int32
    from flash_kmeans.assign_euclid_triton import euclid_assign_triton

    return euclid_assign_triton(tokens, centroids.to(tokens.dtype), squares)


@lru_cache
def why_no_update(D: int, dtype: str) -> str:
    """Of its own update, which may not compile for tokens so long, or only after minutes."""
    try:
        try_out(PROBE.format(D=D, dtype=dtype))
    except NotMeasured as reason:
        return f"its update, for D = {D}: {reason}"
    return ""


def require_update(tokens: Tensor) -> None:
    why = why_no_update(tokens.shape[-1], str(tokens.dtype)) if tokens.is_cuda else ""
    if why:
        raise NotMeasured(why)


@peer
def assign(tokens: Tensor, centroids: Tensor, metric: str) -> tuple[Tensor, None]:
    return nearest(tokens, centroids, squares_of(tokens)), None


@peer
def step(tokens: Tensor, centroids: Tensor, metric: str) -> tuple[Tensor, Tensor, Tensor]:
    from flash_kmeans import triton_centroid_update_sorted_euclid

    require_update(tokens)
    ids = nearest(tokens, centroids, squares_of(tokens))
    sums = torch.zeros_like(centroids)
    counts = torch.zeros(centroids.shape[:2], dtype=torch.int32, device=centroids.device)
    into = {"centroid_sums": sums, "centroid_cnts": counts, "calculate_new": False}
    triton_centroid_update_sorted_euclid(tokens, ids, centroids, **into)
    return ids, sums, counts


@peer
def step_by_product(
    tokens: Tensor, centroids: Tensor, metric: str
) -> tuple[Tensor, Tensor, Tensor]:
    ids = nearest(tokens, centroids, squares_of(tokens))
    return ids, *cluster_sums_by_product(tokens, ids, centroids.shape[1])


@peer
def fit(
    tokens: Tensor, centroids: Tensor, metric: str, iterations: int
) -> tuple[Tensor, None, Tensor]:
    """Without the last labelling, which it does not have."""
    from flash_kmeans import batch_kmeans_Euclid

    require_update(tokens)
    start = {"init_centroids": centroids.to(tokens.dtype), "tol": 0.0}
    ids, moved, _ = batch_kmeans_Euclid(tokens, centroids.shape[1], iterations, **start)
    return ids, None, moved


@peer
def fit_by_product(
    tokens: Tensor, centroids: Tensor, metric: str, iterations: int
) -> tuple[Tensor, None, Tensor]:
    squares = squares_of(tokens)
    for _ in range(iterations):
        ids = nearest(tokens, centroids, squares)
        sums, counts = cluster_sums_by_product(tokens, ids, centroids.shape[1])
        centroids = means(sums, counts, centroids)
    return nearest(tokens, centroids, squares), None, centroids
