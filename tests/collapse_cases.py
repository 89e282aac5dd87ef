"""What the tests of the operators share that add many modules: inputs, bad arguments."""

import torch

from cluster_cases import REJECTED_CLUSTERS, REJECTED_GAMMAS
from errors import shared
from factor_cases import REJECTED_ORDERS
from inputs import make_clusters, make_gate
from residual_cases import GATE, REJECTED_WEIGHTS

M = 3  # modules


def make_modules(count, B, N, D, dtype, device, orders=2, gate="[B,1,D]", gate_dtype=None):
    """Lists of as many modules' factors and gates."""
    factors = torch.randn(count, orders, B, N, D, dtype=dtype, device=device)
    gates = [make_gate(gate, B, N, D, gate_dtype or dtype, device) for _ in range(count)]
    return list(factors), gates


def make_inputs(B, N, K, D, dtype, device, *, modules=M, corrected=True, **options):
    """The operator's arguments; what it takes when clusters have learnt something, or four None."""
    x = torch.randn(B, N, D, dtype=dtype, device=device)
    factors, gates = make_modules(
        modules,
        B,
        N,
        D,
        options.pop("factors_dtype", dtype),
        device,
        **{"gate_dtype": dtype} | options,
    )
    clusters = (torch.randn(B, K, D, device=device), *make_clusters(B, N, K, device), 0.3)
    return x, factors, gates, 2.0, *(clusters if corrected else [None] * 4)


# Two batch rows of nine tokens and three clusters.
CARRY = {
    "offset": torch.zeros(2, 3, 4),
    "correction": torch.zeros(2, 3, 4),
    "factors": torch.zeros(3, 2, 9, 4),
    "representatives": torch.zeros(2, 3).int(),
    "gate": None,
    "computed": torch.zeros(2, 3, 4),
    "distance": 1.0,
}
OVERLAPPING = torch.zeros(2, 1, 4).expand(2, 3, 4)
REJECTED_CARRY = [
    *[
        pair
        for name in ("offset", "correction")
        for pair in [
            ({name: torch.zeros(2, 3, 4).half()}, f"{name} must be float32, got float16"),
            (
                {name: torch.zeros(2, 4, 3).mT},
                f"{name} must be dense in its last dimension, got stride 3",
            ),
            ({name: OVERLAPPING}, f"{name} {shared([2, 3, 4], [4, 0, 1])}"),
        ]
    ],
    ({"offset": torch.zeros(3, 4)}, "offset must be [B, K, D], got shape [3, 4]"),
    ({"offset": torch.zeros(2, 0, 4)}, "K of offset must be at least 1, got 0"),
    (
        {"correction": torch.zeros(2, 4, 4)},
        "correction must have shape [2, 3, 4], got [2, 4, 4]",
    ),
    *REJECTED_ORDERS,
    (
        {"factors": torch.zeros(3, 2, 9, 5)},
        "factors must have shape [3, 2, 9, 4], got [3, 2, 9, 5]",
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
    ({"gate": torch.zeros(4)}, f"{GATE} [4]"),
    ({"gate": torch.zeros(2, 3, 4)}, f"{GATE} [2, 3, 4]"),
    (
        {"gate": torch.zeros(2, 4).double()},
        "gate must be float32, float16 or bfloat16, got float64",
    ),
    ({"gate": torch.zeros(4, 2).T}, "gate must be dense in its last dimension, got stride 2"),
    ({"computed": torch.zeros(2, 2, 4)}, "computed must have shape [2, 3, 4], got [2, 2, 4]"),
    (
        {"computed": torch.zeros(2, 3, 4).int()},
        "computed must be float32, float16 or bfloat16, got int32",
    ),
    (
        {"computed": torch.zeros(2, 4, 3).mT},
        "computed must be dense in its last dimension, got stride 3",
    ),
    ({"distance": float("nan")}, "distance must be finite, got nan"),
]

# The same, and two modules.
COLLAPSE = {
    "x": torch.zeros(2, 9, 4),
    "factors": [torch.zeros(3, 2, 9, 4), torch.zeros(3, 2, 9, 4)],
    "gates": [None, torch.zeros(2, 4)],
    "distance": 1.0,
    "correction": torch.zeros(2, 3, 4),
    "representatives": torch.zeros(2, 3).int(),
    "cluster_ids": torch.zeros(2, 9).int(),
    "gamma": 0.3,
}


def factors_of(second):
    return {"factors": [COLLAPSE["factors"][0], second]}


def gates_of(first):
    return {"gates": [first, None]}


SAME = "factors[1] must be of the dtype and strides of factors[0], float32 [72, 36, 4, 1], got"
ORDERS = "must be [O + 1, B, N, D] with 1 to 8 orders, got shape"
TOGETHER = "correction, representatives, cluster_ids and gamma must be given together"
REJECTED_COLLAPSE = [
    ({"x": torch.zeros(9, 4)}, "x must be [B, N, D], got shape [9, 4]"),
    ({"x": torch.zeros(2, 9, 4).int()}, "x must be float32, float16 or bfloat16, got int32"),
    ({"x": torch.zeros(2, 9, 0)}, "D of x must be at least 1, got 0"),
    ({"x": torch.zeros(2, 4, 9).mT}, "x must be dense in its last dimension, got stride 9"),
    (
        {"x": torch.zeros(2, 9, 4).half(), "factors": [torch.zeros(3, 2, 9, 4).bfloat16()] * 2},
        "factors[0] must be float16 or float32, got bfloat16",
    ),
    ({"factors": [], "gates": []}, "factors must be a list of at least one tensor, got none"),
    ({"factors": COLLAPSE["factors"][:1]}, "gates must be 1 as factors, got 2"),
    ({"gates": [None]}, "gates must be 2 as factors, got 1"),
    (factors_of(torch.zeros(2, 9, 4)), f"factors[1] {ORDERS} [2, 9, 4]"),
    (factors_of(torch.zeros(0, 2, 9, 4)), f"factors[1] {ORDERS} [0, 2, 9, 4]"),
    (factors_of(torch.zeros(9, 2, 9, 4)), f"factors[1] {ORDERS} [9, 2, 9, 4]"),
    (
        {"factors": [torch.zeros(2, 9, 4), torch.zeros(3, 2, 9, 4)]},
        f"factors[0] {ORDERS} [2, 9, 4]",
    ),
    (
        factors_of(torch.zeros(2, 2, 9, 4)),
        "factors[1] must have shape [3, 2, 9, 4], got [2, 2, 9, 4]",
    ),
    (
        factors_of(torch.zeros(3, 2, 8, 4)),
        "factors[1] must have shape [3, 2, 9, 4], got [3, 2, 8, 4]",
    ),
    (
        factors_of(torch.zeros(3, 2, 9, 4).double()),
        "factors[1] must be float32, float16 or bfloat16, got float64",
    ),
    (
        factors_of(torch.zeros(3, 2, 4, 9).mT),
        "factors[1] must be dense in its last dimension, got stride 9",
    ),
    (factors_of(torch.zeros(3, 2, 9, 4).half()), f"{SAME} float16 [72, 36, 4, 1]"),
    (factors_of(torch.zeros(3, 2, 9, 8)[..., :4]), f"{SAME} float32 [144, 72, 8, 1]"),
    (factors_of(torch.zeros(2, 3, 9, 4).transpose(0, 1)), f"{SAME} float32 [36, 108, 4, 1]"),
    (gates_of(torch.zeros(4)), GATE.replace("gate", "gates[0]") + " [4]"),
    (gates_of(torch.zeros(2, 3, 4)), GATE.replace("gate", "gates[0]") + " [2, 3, 4]"),
    ({"gates": [None, torch.zeros(2, 4).half()]}, "gates[1] must be float32, got float16"),
    (
        {"gates": [None, torch.zeros(4, 2).T]},
        "gates[1] must be dense in its last dimension, got stride 2",
    ),
    ({"distance": float("nan")}, "distance must be finite, got nan"),
    *[({name: None}, TOGETHER) for name in list(COLLAPSE)[4:]],
    ({name: None for name in list(COLLAPSE)[4:7]}, TOGETHER),
    ({"correction": torch.zeros(3, 4)}, "correction must be [B, K, D], got shape [3, 4]"),
    ({"correction": torch.zeros(2, 0, 4)}, "K of correction must be at least 1, got 0"),
    ({"correction": torch.zeros(2, 3, 5)}, "correction must have shape [2, 3, 4], got [2, 3, 5]"),
    ({"correction": torch.zeros(2, 3, 4).half()}, "correction must be float32, got float16"),
    (
        {"correction": torch.zeros(2, 4, 3).mT},
        "correction must be dense in its last dimension, got stride 3",
    ),
    *[(override, message) for override, message in REJECTED_CLUSTERS if "computed" not in override],
]
WEIGHTS = torch.zeros(3)
REJECTED_COLLAPSE_TENSORS = [
    *[({"distance": [WEIGHTS, weights]}, message) for weights, message in REJECTED_WEIGHTS],
    *[({"gamma": gamma}, message) for gamma, message in REJECTED_GAMMAS],
    ({"distance": [WEIGHTS]}, "weights must be 2 as factors, got 1"),
    ({"distance": [WEIGHTS] * 3}, "weights must be 2 as factors, got 3"),
    ({"gamma": None}, TOGETHER),
]

# Five steps of the same two modules.
SUMS = {
    "sums": torch.zeros(5, 2, 9, 4),
    "factors": COLLAPSE["factors"],
    "gates": [None, torch.zeros(5, 2, 4)],
    "weights": [torch.zeros(5, 3), torch.zeros(5, 3)],
}
STEPS_GATE = "gates[0] must have shape [5, 2, 4] or [5, 1, 4], got"
OF_TWO = torch.zeros(5, 1, 9, 4).expand(5, 2, 9, 4)
REJECTED_SUMS = [
    ({"sums": torch.zeros(2, 9, 4)}, "sums must be [S, B, N, D], got shape [2, 9, 4]"),
    ({"sums": torch.zeros(5, 2, 9, 4).half()}, "sums must be float32, got float16"),
    ({"sums": torch.zeros(0, 2, 9, 4)}, "sums must hold 1 to 8 steps, got 0"),
    ({"sums": torch.zeros(9, 2, 9, 4)}, "sums must hold 1 to 8 steps, got 9"),
    ({"sums": torch.zeros(5, 2, 9, 0)}, "D of sums must be at least 1, got 0"),
    (
        {"sums": torch.zeros(5, 2, 4, 9).mT},
        "sums must be dense in its last dimension, got stride 9",
    ),
    ({"sums": OF_TWO}, f"sums {shared([5, 2, 9, 4], [36, 0, 4, 1])}"),
    *[
        pair
        for pair in REJECTED_COLLAPSE
        if pair[0].keys() <= {"factors", "gates"} and not pair[0].get("gates")
    ],
    ({"gates": [None]}, "gates must be 2 as factors, got 1"),
    (gates_of(torch.zeros(2, 4)), f"{STEPS_GATE} [2, 4]"),
    (gates_of(torch.zeros(4, 2, 4)), f"{STEPS_GATE} [4, 2, 4]"),
    (gates_of(torch.zeros(5, 3, 4)), f"{STEPS_GATE} [5, 3, 4]"),
    (gates_of(torch.zeros(5, 2, 9, 4)), f"{STEPS_GATE} [5, 2, 9, 4]"),
    (
        gates_of(torch.zeros(5, 2, 4).double()),
        "gates[0] must be float32, float16 or bfloat16, got float64",
    ),
    (
        gates_of(torch.zeros(5, 4, 2).mT),
        "gates[0] must be dense in its last dimension, got stride 2",
    ),
    ({"weights": [torch.zeros(5, 3)]}, "weights must be 2 as factors, got 1"),
    *[
        ({"weights": [torch.zeros(5, 3), weights]}, f"weights[1] {message}")
        for weights, message in [
            (torch.zeros(3), "must have shape [5, 3], got [3]"),
            (torch.zeros(5, 2), "must have shape [5, 3], got [5, 2]"),
            (torch.zeros(5, 3).double(), "must be float32, got float64"),
            (torch.zeros(3, 5).T, "must be dense in its last dimension, got stride 5"),
        ]
    ],
]
