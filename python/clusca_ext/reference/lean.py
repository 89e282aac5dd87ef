"""Equations of ``clusca_ext.ops.lean``."""

import torch
from torch import Tensor

from clusca_ext.reference._rows import by_token, normed
from clusca_ext.reference.propagate import cluster_propagate


def lean_accumulate_(accumulators: Tensor, feature: Tensor, phi: Tensor) -> Tensor:
    return accumulators + phi.unsqueeze(2) * feature.float()


def lean_output(
    x: Tensor,
    sums: Tensor,
    weights: Tensor,
    correction: Tensor | None = None,
    representatives: Tensor | None = None,
    cluster_ids: Tensor | None = None,
    gamma: float | Tensor | None = None,
    shift: Tensor | None = None,
    scale: Tensor | None = None,
    eps: float = 1e-6,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    norm: str = "none",
) -> Tensor:
    by_channel = weights.dim() == 3
    each = weights.unsqueeze(2) if by_channel else weights[:, :, None, None]  # [J, B, 1, D or 1]
    terms = each * sums.float()
    terms = terms if by_channel else terms.where(each != 0, 0)  # not read, even if it is NaN
    y = x.float() + terms.sum(0)
    if correction is not None and representatives is not None:
        assert cluster_ids is not None and gamma is not None
        zeros = torch.zeros_like(y)
        y = y + cluster_propagate(zeros, correction, representatives, cluster_ids, gamma)
    y = normed(y, norm, eps, weight, bias)
    y = y if scale is None else y * (1 + by_token(scale))
    y = y if shift is None else y + by_token(shift)
    return y.to(x.dtype)
