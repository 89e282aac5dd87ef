"""What the tests of lean storage's operators share: inputs, bad arguments."""

import pytest
import torch

from clusca_ext import ops, reference
from cluster_cases import REJECTED_CLUSTERS
from collapse_cases import REJECTED_COLLAPSE, TOGETHER
from errors import shared
from inputs import make_clusters, make_gate
from residual_cases import PAIRS

J = 3  # sums
NORMS = ["layer", "rms", "none"]
by_pair = pytest.mark.parametrize("dtype, sums_dtype", PAIRS, ids=str)
by_norm = pytest.mark.parametrize("norm", NORMS)
by_correction = pytest.mark.parametrize("corrected", [False, True], ids=["alone", "corrected"])
by_weights = pytest.mark.parametrize("by_channel", [False, True], ids=["numbers", "by-channel"])


def make_accumulators(C, B, N, D, dtype, device):
    """The operator's arguments, the feature of a dtype."""
    feature = torch.randn(B, N, D, dtype=dtype, device=device)
    accumulators = torch.randn(C, B, N, D, device=device)
    return accumulators, feature, torch.randn(C, B, D, device=device)


def make_sums(B, N, K, D, dtype, device, *, count=J, corrected=True, **options):
    """The first seven of the operator's arguments; the last four are None without a correction."""
    x = torch.randn(B, N, D, dtype=dtype, device=device)
    sums = torch.randn(count, B, N, D, dtype=options.get("sums_dtype", dtype), device=device)
    channels = [D] if options.get("by_channel") else []
    weights = torch.randn(count, B, *channels, device=device)
    clusters = torch.randn(B, K, D, device=device), *make_clusters(B, N, K, device), 0.3
    return x, sums, weights, *(clusters if corrected else [None] * 4)


def make_norm(norm, B, N, D, dtype, device, *, shift="[B,D]", scale="[B,1,D]", affine=True):
    """The other six: what follows, of one dtype."""
    weight, bias = torch.randn(2, D, dtype=dtype, device=device) if affine else (None, None)
    rows = [make_gate(form, B, N, D, dtype, device) for form in (shift, scale)]
    return *rows, 1e-3, weight, bias, norm


def assert_output_matches_reference(*args, **tolerance):
    ours = ops.lean_output(*args)
    assert ours.dtype == args[0].dtype
    torch.testing.assert_close(ours, reference.lean_output(*args), **tolerance)


ACCUMULATE = {
    "accumulators": torch.zeros(5, 2, 9, 4),
    "feature": torch.zeros(2, 9, 4),
    "phi": torch.zeros(5, 2, 4),
}
OF_TWO = torch.zeros(5, 1, 9, 4).expand(5, 2, 9, 4)
REJECTED_ACCUMULATE = [
    (
        {"accumulators": torch.zeros(2, 9, 4)},
        "accumulators must be [C, B, N, D], got shape [2, 9, 4]",
    ),
    ({"accumulators": torch.zeros(5, 2, 9, 4).half()}, "accumulators must be float32, got float16"),
    ({"accumulators": torch.zeros(0, 2, 9, 4)}, "C of accumulators must be at least 1, got 0"),
    ({"accumulators": torch.zeros(5, 2, 9, 0)}, "D of accumulators must be at least 1, got 0"),
    (
        {"accumulators": torch.zeros(5, 2, 4, 9).mT},
        "accumulators must be dense in its last dimension, got stride 9",
    ),
    ({"accumulators": OF_TWO}, f"accumulators {shared([5, 2, 9, 4], [36, 0, 4, 1])}"),
    (
        {"accumulators": OF_TWO[:1].expand(5, 2, 9, 4)},
        f"accumulators {shared([5, 2, 9, 4], [0, 0, 4, 1])}",
    ),
    ({"feature": torch.zeros(2, 8, 4)}, "feature must have shape [2, 9, 4], got [2, 8, 4]"),
    ({"feature": torch.zeros(9, 4)}, "feature must have shape [2, 9, 4], got [9, 4]"),
    (
        {"feature": torch.zeros(2, 9, 4).double()},
        "feature must be float32, float16 or bfloat16, got float64",
    ),
    (
        {"feature": torch.zeros(2, 4, 9).mT},
        "feature must be dense in its last dimension, got stride 9",
    ),
    ({"phi": torch.zeros(5, 4)}, "phi must have shape [5, 2, 4], got [5, 4]"),
    ({"phi": torch.zeros(4, 2, 4)}, "phi must have shape [5, 2, 4], got [4, 2, 4]"),
    ({"phi": torch.zeros(5, 1, 4)}, "phi must have shape [5, 2, 4], got [5, 1, 4]"),
    ({"phi": torch.zeros(5, 2, 4).bfloat16()}, "phi must be float32, got bfloat16"),
    ({"phi": torch.zeros(5, 4, 2).mT}, "phi must be dense in its last dimension, got stride 2"),
]

# Two batch rows of nine tokens, three clusters and five sums.
OUTPUT = {
    "x": torch.zeros(2, 9, 4),
    "sums": torch.zeros(5, 2, 9, 4),
    "weights": torch.zeros(5, 2),
    "correction": torch.zeros(2, 3, 4),
    "representatives": torch.zeros(2, 3).int(),
    "cluster_ids": torch.zeros(2, 9).int(),
    "gamma": 0.3,
    "shift": torch.zeros(2, 4),
    "scale": None,
    "eps": 1e-6,
    "weight": torch.zeros(4),
    "bias": None,
    "norm": "layer",
}
HALF = torch.zeros(2, 9, 4).half()
WIDE = 24577
SPREAD = "must have shape [2, 4], [2, 1, 4] or [2, 9, 4], got"
REJECTED_OUTPUT = [
    *[pair for pair in REJECTED_COLLAPSE if pair[0].keys() == {"x"}],
    ({"sums": torch.zeros(2, 9, 4)}, "sums must be [J, B, N, D], got shape [2, 9, 4]"),
    ({"sums": torch.zeros(0, 2, 9, 4)}, "J of sums must be at least 1, got 0"),
    (
        {"sums": torch.zeros(5, 2, 8, 4)},
        "sums must have shape [5, 2, 9, 4], got [5, 2, 8, 4]",
    ),
    (
        {"sums": torch.zeros(5, 2, 9, 4).double()},
        "sums must be float32, float16 or bfloat16, got float64",
    ),
    (
        {"x": HALF, "sums": torch.zeros(5, 2, 9, 4).bfloat16()},
        "sums must be float16 or float32, got bfloat16",
    ),
    (
        {"sums": torch.zeros(5, 2, 4, 9).mT},
        "sums must be dense in its last dimension, got stride 9",
    ),
    ({"weights": torch.zeros(5)}, "weights must have shape [5, 2], got [5]"),
    ({"weights": torch.zeros(5, 1)}, "weights must have shape [5, 2], got [5, 1]"),
    ({"weights": torch.zeros(4, 2)}, "weights must have shape [5, 2], got [4, 2]"),
    ({"weights": torch.zeros(5, 2, 1)}, "weights must have shape [5, 2, 4], got [5, 2, 1]"),
    ({"weights": torch.zeros(5, 2).half()}, "weights must be float32, got float16"),
    (
        {"weights": torch.zeros(5, 4, 2).mT},
        "weights must be dense in its last dimension, got stride 2",
    ),
    *[
        pair
        for pair in REJECTED_COLLAPSE
        if pair[0].keys() & {"correction"} and pair[1] != TOGETHER
    ],
    *[({name: None}, TOGETHER) for name in list(OUTPUT)[3:7]],
    ({name: None for name in list(OUTPUT)[3:6]}, TOGETHER),
    *[(override, message) for override, message in REJECTED_CLUSTERS if "computed" not in override],
    ({"shift": torch.zeros(2, 3, 4)}, f"shift {SPREAD} [2, 3, 4]"),
    ({"shift": torch.zeros(2, 4).half()}, "shift must be float32, got float16"),
    ({"scale": torch.zeros(4)}, f"scale {SPREAD} [4]"),
    (
        {"scale": torch.zeros(4, 2).T},
        "scale must be dense in its last dimension, got stride 2",
    ),
    ({"eps": -1.0}, "eps must be at least 0, got -1"),
    ({"eps": float("nan")}, "eps must be at least 0, got nan"),
    ({"weight": torch.zeros(5)}, "weight must have shape [4], got [5]"),
    ({"bias": torch.zeros(4).bfloat16()}, "bias must be float32, got bfloat16"),
    ({"norm": "batch"}, 'norm must be one of "layer", "rms", "none", got "batch"'),
]
TOO_WIDE = {
    "x": torch.zeros(1, 1, WIDE),
    "sums": torch.zeros(1, 1, 1, WIDE),
    "weights": torch.ones(1, 1),
}
