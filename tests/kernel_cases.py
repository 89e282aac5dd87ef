"""Few small calls that together launch every instantiation of every CUDA kernel.

A new instantiation needs a call here that launches it: tests/test_launches.py says which ones lack
theirs.
"""

from itertools import product

import pytest
import torch

from clusca_ext.ops._dispatch import OPS
from inputs import DTYPES
from kmeans_cases import METRICS
from residual_cases import MIXED, PAIRS

OF_ONE_DTYPE = [(dtype, dtype) for dtype in DTYPES]
# D: whole packets of every dtype and an odd number, for which kernels take one element at a time.
WIDTHS = [24, 33]
CALLS = {  # operator -> every value of every option of op_samples.sample
    "kmeans_assign": {"dtypes": OF_ONE_DTYPE, "metric": METRICS, "D": WIDTHS},
    "kmeans_step": {"dtypes": OF_ONE_DTYPE, "metric": METRICS, "D": WIDTHS},
    "kmeans_fit": {"dtypes": OF_ONE_DTYPE, "D": WIDTHS},
    "select_representatives": {},
    "select_nearest": {},
    "gather_representatives": {"dtypes": OF_ONE_DTYPE, "D": WIDTHS},
    "cluster_propagate": {"dtypes": OF_ONE_DTYPE, "D": WIDTHS},
    "taylor_update_": {"dtypes": OF_ONE_DTYPE, "D": WIDTHS},
    "taylor_forecast": {"dtypes": OF_ONE_DTYPE, "D": WIDTHS},
    "forecast_residual_": {"dtypes": MIXED, "D": WIDTHS},
    "propagate_residual_": {"dtypes": MIXED, "D": WIDTHS},
    "propagate_factors_": {"dtypes": OF_ONE_DTYPE, "D": WIDTHS},
    "carry_representatives_": {"dtypes": OF_ONE_DTYPE, "D": WIDTHS},
    "collapsed_residual": {"dtypes": PAIRS, "D": WIDTHS},
    "collapse_forecasts_": {"dtypes": OF_ONE_DTYPE, "D": WIDTHS, "steps": [4, 8]},
    "lean_accumulate_": {"dtypes": OF_ONE_DTYPE, "D": WIDTHS},
    "lean_output": {
        "dtypes": PAIRS,
        "D": WIDTHS,
        "follows": [False, True],
    },
    **{name: {} for name in OPS if name.endswith(".tensor")},  # the same kernels
}
HALVES = [(half, half) for half in DTYPES[1:]]
VECTOR = {"dtypes": HALVES, "kernel": ["vector"]}  # "auto" takes another one of so few clusters
MATRIX = {"dtypes": HALVES, "kernel": ["matrix"]}
CLUSTER = {"dtypes": HALVES, "kernel": ["cluster"]}
MORE = [  # the same for kernels that only some sizes reach
    ("kmeans_assign", {"dtypes": OF_ONE_DTYPE, "metric": METRICS, "N": [800, 1600]}),
    ("kmeans_assign", VECTOR | {"D": WIDTHS}),
    ("kmeans_assign", VECTOR | {"N": [800, 1600]}),
    ("kmeans_assign", MATRIX | {"K": [20], "D": WIDTHS}),
    ("kmeans_assign", MATRIX | {"B": [1], "N": [16_400], "D": WIDTHS}),
    ("kmeans_fit", MATRIX),
    ("kmeans_fit", CLUSTER),
    # The wide ones are more than a block of the largest tile has shared memory for.
    ("kmeans_step", CLUSTER | {"K": [4], "D": [24, 8192]}),
    ("kmeans_step", CLUSTER | {"K": [20], "D": [24, 5120]}),
]
CASES = [
    (name, dict(zip(options, values, strict=True)))
    for name, options in [*CALLS.items(), *MORE]
    for values in product(*options.values())
]


def skip_if_missing(options, device):
    """What a machine has no kernel for that was named."""
    if options.get("kernel") and device == "cpu":
        pytest.skip("a kernel of CUDA's")
    if options.get("kernel") == "cluster":
        properties = torch.cuda.get_device_properties(device)
        if properties.major < 9:
            pytest.skip("clusters of blocks are there from sm_90 on")
        if options.get("D", 0) > 3072 and properties.shared_memory_per_multiprocessor < 200 * 1024:
            pytest.skip("more shared memory than this GPU has")


def words(name, options):
    dtypes = [str(dtype).removeprefix("torch.") for dtype in options.get("dtypes", ())]
    others = [f"{key}{value}" for key, value in options.items() if key != "dtypes"]
    return "-".join([name, *dtypes, *others])


by_case = pytest.mark.parametrize(
    "name, options", [pytest.param(*case, id=words(*case)) for case in CASES]
)
