"""Sizes and layouts that break assumptions, of every operator: all at once, for none to lack one.

Tests of an operator's own file have more of them; 2^31 elements are in tests/test_huge.py.
"""

import pytest
import torch

from inputs import laid_out
from op_samples import by_op, equation, on_tensors, sample, tensors_in, wrapper

SIZES = {
    "D-is-1": {"D": 1},
    "D-is-3": {"D": 3},
    "D-is-129": {"D": 129},
    "N-is-1": {"N": 1},
    "K-is-1": {"K": 1},
    "all-are-1": {"B": 1, "N": 1, "K": 1, "D": 1},
    "K-above-N": {"N": 3, "K": 40},
    "packets": {"D": 40},
}
by_size = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
# Unaligned: the first element is off by one, and rows are an odd number apart where D is even.
by_layout = pytest.mark.parametrize("layout", ["dense", "unaligned", "every-other"])


@by_op
@by_size
@by_layout
def test_matches_the_reference(name, size, layout, device):
    for dtype in (torch.float32, torch.bfloat16):
        args = sample(name, device, **size, dtypes=(dtype, dtype))
        expected = tensors_in(equation(name)(*args))
        if layout != "dense":
            args = on_tensors(lambda tensor: laid_out(tensor, layout), args)
        # What operators return, or leave in the first of their arguments.
        ours = tensors_in(wrapper(name)(*args)) or tensors_in(args)[: len(expected)]
        torch.testing.assert_close(ours, expected)
