"""What the tests of the two residual operators share: streams, mixed dtypes, bad arguments."""

import pytest
import torch

from errors import shared

FLOAT = torch.float32
HALVES = [torch.float16, torch.bfloat16]
# x and the factors: of one dtype, or a float32 stream with factors of lower precision.
MIXED = [(FLOAT, FLOAT), *[(half, half) for half in HALVES], *[(FLOAT, half) for half in HALVES]]
# The same, and float32 sums of many modules beside a half stream.
PAIRS = [*MIXED, *[(half, FLOAT) for half in HALVES]]
by_mixed_dtype = pytest.mark.parametrize("dtype, factors_dtype", MIXED, ids=str)


def make_stream(B, N, D, dtype, factors_dtype, device, orders=2):
    """A stream and a module's factors."""
    x = torch.randn(B, N, D, dtype=dtype, device=device)
    return x, torch.randn(orders, B, N, D, dtype=factors_dtype, device=device)


# For x [2, 9, 4] float32, factors [3, 2, 9, 4].
STREAM = {"x": torch.zeros(2, 9, 4), "factors": torch.zeros(3, 2, 9, 4)}
ORDERS = "factors must be [O + 1, B, N, D] with 1 to 8 orders, got shape"
GATE = "gate must have shape [2, 4], [2, 1, 4] or [2, 9, 4], got"
REJECTED_STREAM = [
    ({"x": torch.zeros(9, 4)}, "x must be [B, N, D], got shape [9, 4]"),
    ({"x": torch.zeros(2, 9, 4).int()}, "x must be float32, float16 or bfloat16, got int32"),
    ({"x": torch.zeros(2, 9, 0)}, "D of x must be at least 1, got 0"),
    ({"x": torch.zeros(2, 4, 9).mT}, "x must be dense in its last dimension, got stride 9"),
    ({"x": torch.zeros(2, 1, 4).expand(2, 9, 4)}, f"x {shared([2, 9, 4], [4, 0, 1])}"),
    ({"x": torch.zeros(13).as_strided((2, 9, 4), (1, 1, 1))}, f"x {shared([2, 9, 4], [1, 1, 1])}"),
    ({"x": torch.zeros(44).as_strided((2, 9, 4), (8, 4, 1))}, f"x {shared([2, 9, 4], [8, 4, 1])}"),
    ({"x": torch.zeros(2, 9, 4).half()}, "factors must be float16, got float32"),
    ({"factors": torch.zeros(2, 9, 4)}, f"{ORDERS} [2, 9, 4]"),
    ({"factors": torch.zeros(0, 2, 9, 4)}, f"{ORDERS} [0, 2, 9, 4]"),
    ({"factors": torch.zeros(9, 2, 9, 4)}, f"{ORDERS} [9, 2, 9, 4]"),
    (
        {"factors": torch.zeros(3, 2, 8, 4)},
        "factors must have shape [3, 2, 9, 4], got [3, 2, 8, 4]",
    ),
    (
        {"factors": torch.zeros(3, 2, 9, 4).double()},
        "factors must be float32, float16 or bfloat16, got float64",
    ),
    (
        {"factors": torch.zeros(3, 2, 4, 9).mT},
        "factors must be dense in its last dimension, got stride 9",
    ),
    ({"gate": torch.zeros(4)}, f"{GATE} [4]"),
    ({"gate": torch.zeros(2, 3, 4)}, f"{GATE} [2, 3, 4]"),
    ({"gate": torch.zeros(1, 9, 4)}, f"{GATE} [1, 9, 4]"),
    ({"gate": torch.zeros(2, 4).half()}, "gate must be float32, got float16"),
    ({"gate": torch.zeros(4, 2).T}, "gate must be dense in its last dimension, got stride 2"),
    ({"distance": float("nan")}, "distance must be finite, got nan"),
]
REJECTED_WEIGHTS = [
    (torch.zeros(2), "weights must have shape [3], got [2]"),
    (torch.zeros(1, 3), "weights must have shape [2, 3], got [1, 3]"),
    (torch.zeros(3).double(), "weights must be float32, got float64"),
    (torch.zeros(3, 2).T, "weights must be dense in its last dimension, got stride 2"),
]
