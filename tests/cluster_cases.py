"""What the tests of the propagating operators share: clusters, good and bad, and bad arguments."""

import pytest
import torch

from inputs import make_clusters

RULES = ["value", "delta"]
by_rule = pytest.mark.parametrize("rule", RULES)


def make_computed(B, N, K, D, dtype, device):
    """Computed features, representatives and labels, in the operators' order."""
    return torch.randn(B, K, D, dtype=dtype, device=device), *make_clusters(B, N, K, device)


def rows_at(tokens, index):
    """tokens[b, index[b, i]] of [B, N, D] tokens and a [B, I] index. [B, I, D]"""
    return tokens.gather(1, index.long().unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def represents(representatives, N):
    """Which tokens are a representative. [B, N] bool"""
    token = torch.arange(N, device=representatives.device)
    return (representatives.unsqueeze(-1) == token).any(dim=1)


def cluster_without(representatives, cluster_ids, k, representative):
    """The clusters with k's representative out of range, and which tokens that leaves alone."""
    representatives = representatives.clone()
    representatives[:, k] = representative
    return representatives, cluster_ids == k


OUTSIDE = [-1, 33, 2**31 - 1, -(2**31)]  # of 33 tokens as of fewer clusters
by_outside = pytest.mark.parametrize("outside", OUTSIDE)

# For [2, 9, 4] float32 tokens and three clusters.
CLUSTERS = {
    "computed": torch.zeros(2, 3, 4),
    "representatives": torch.zeros(2, 3).int(),
    "cluster_ids": torch.zeros(2, 9).int(),
}
REJECTED_CLUSTERS = [
    ({"computed": torch.zeros(3, 4)}, "computed must be [B, K, D], got shape [3, 4]"),
    ({"computed": torch.zeros(2, 0, 4)}, "K of computed must be at least 1, got 0"),
    ({"computed": torch.zeros(2, 3, 5)}, "computed must have shape [2, 3, 4], got [2, 3, 5]"),
    (
        {"computed": torch.zeros(2, 3, 4).double()},
        "computed must be float32, float16 or bfloat16, got float64",
    ),
    (
        {"computed": torch.zeros(2, 4, 3).mT},
        "computed must be dense in its last dimension, got stride 3",
    ),
    (
        {"representatives": torch.zeros(2, 4).int()},
        "representatives must have shape [2, 3], got [2, 4]",
    ),
    ({"representatives": torch.zeros(2, 3).long()}, "representatives must be int32, got int64"),
    (
        {"representatives": torch.zeros(3, 2).int().T},
        "representatives must be dense in its last dimension, got stride 2",
    ),
    ({"cluster_ids": torch.zeros(1, 9).int()}, "cluster_ids must have shape [2, 9], got [1, 9]"),
    ({"cluster_ids": torch.zeros(2, 9)}, "cluster_ids must be int32, got float32"),
    (
        {"cluster_ids": torch.zeros(9, 2).int().T},
        "cluster_ids must be dense in its last dimension, got stride 2",
    ),
    ({"gamma": 1.5}, "gamma must be in [0, 1], got 1.5"),
    ({"gamma": -0.5}, "gamma must be in [0, 1], got -0.5"),
    ({"gamma": float("nan")}, "gamma must be in [0, 1], got nan"),
]
# The same of a gamma on the device, whose value is not looked at.
REJECTED_GAMMAS = [
    (torch.zeros(1), "gamma must have shape [], got [1]"),
    (torch.tensor(0.5).double(), "gamma must be float32, got float64"),
]
