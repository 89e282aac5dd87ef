"""What the tests of the operators share whose first argument is a module's factors."""

import torch

from errors import shared

FACTORS = torch.zeros(3, 2, 9, 4)
REJECTED_ORDERS = [
    ({"factors": torch.zeros(2, 9, 4)}, "factors must be [O + 1, B, N, D], got shape [2, 9, 4]"),
    ({"factors": FACTORS.int()}, "factors must be float32, float16 or bfloat16, got int32"),
    ({"factors": FACTORS.double()}, "factors must be float32, float16 or bfloat16, got float64"),
    ({"factors": torch.zeros(0, 2, 9, 4)}, "factors must hold 1 to 8 orders, got 0"),
    ({"factors": torch.zeros(9, 2, 9, 4)}, "factors must hold 1 to 8 orders, got 9"),
    (
        {"factors": torch.zeros(3, 2, 4, 9).mT},
        "factors must be dense in its last dimension, got stride 9",
    ),
]
REJECTED_FACTORS = [
    *REJECTED_ORDERS,
    ({"factors": torch.zeros(3, 2, 9, 0)}, "D of factors must be at least 1, got 0"),
]
# Where they are written in place.
REJECTED_SHARED_FACTORS = [
    ({"factors": FACTORS[:1].expand(3, 2, 9, 4)}, f"factors {shared([3, 2, 9, 4], [0, 36, 4, 1])}"),
    (
        {"factors": FACTORS[:, :1].expand_as(FACTORS)},
        f"factors {shared([3, 2, 9, 4], [72, 0, 4, 1])}",
    ),
    (
        {"factors": torch.zeros(15).as_strided((3, 2, 9, 4), (1, 1, 1, 1))},
        f"factors {shared([3, 2, 9, 4], [1, 1, 1, 1])}",
    ),
]
