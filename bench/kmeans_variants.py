"""What k-means is measured with on a GPU beside what every op is: our kernels one by one,
GEMM-kmeans in a CUDA graph, and flash-kmeans.
"""

from functools import partial

import torch

from clusca_ext.measuring.shapes import Case
from clusca_ext.measuring.timing import is_gpu
from clusca_ext.measuring.work import Function

KERNELS = ("vector", "matrix", "cluster")  # of which "auto", measured as ours, is one
ANY_DTYPE = ("vector",)
MOST_K = 32  # of the cluster kernel


def variants_of(
    case: Case, ours: Function, plain: Function, flash: Function, best_flash: Function
) -> dict[str, Function]:
    """Functions by name; where that ends in "graph", a replay of their CUDA graph is timed."""
    if not is_gpu(case.device):
        return {}
    is_l2 = case.metric == "l2"
    kernels = KERNELS if is_l2 and case.dtype != torch.float32 else ANY_DTYPE
    if case.K > MOST_K:
        kernels = tuple(kernel for kernel in kernels if kernel != "cluster")
    found = {kernel: partial(ours, kernel=kernel) for kernel in kernels}
    if case.compared or not is_l2:
        found["torch-graph"] = plain
    if case.compared and is_l2:
        found |= {"flash": flash, "flash-graph": best_flash}
    return found
