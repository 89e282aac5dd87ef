"""Inputs that several tests share: sizes, clusters, gates, and views of every layout."""

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st

from clusca_ext import reference

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)

by_cluster_shape = pytest.mark.parametrize(
    "B, N, K, D",
    [
        pytest.param(1, 1024, 16, 64, id="flux-tokens"),
        pytest.param(2, 77, 5, 129, id="odd-D"),
        pytest.param(2, 9, 3, 1, id="D-is-1"),
        pytest.param(3, 7, 7, 8, id="every-token-its-own-cluster"),
        pytest.param(2, 5, 9, 16, id="more-clusters-than-tokens"),
        pytest.param(2, 1, 1, 24, id="one-token"),
        pytest.param(2, 150, 19, 40, id="K-above-16-not-a-multiple"),
        pytest.param(2, 700, 3, 300, id="several-chunks-and-tiles-N-and-D-not-multiples"),
        pytest.param(1, 0, 3, 8, id="no-tokens"),
        pytest.param(0, 6, 2, 8, id="empty-batch"),
    ],
)

by_token_shape = pytest.mark.parametrize(
    "B, N, D",
    [
        pytest.param(1, 1024, 64, id="flux-tokens"),
        pytest.param(2, 33, 129, id="odd-D"),
        pytest.param(2, 9, 1, id="D-is-1"),
        pytest.param(2, 3, 1100, id="a-row-over-several-blocks"),
        pytest.param(2, 1, 24, id="one-token"),
        pytest.param(1, 0, 8, id="no-tokens"),
        pytest.param(0, 6, 8, id="empty-batch"),
    ],
)

# For tests over random sizes.
EXAMPLES = settings(derandomize=True, max_examples=40, deadline=None)
SIZES = st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(1, 20), st.integers(1, 70))
SEEDS = st.integers(0, 2**31)


def make_whole(*shape, dtype, device):
    """Whole numbers that every dtype holds: sums and products of a few are exact in float32.

    Such a result is known to its last bit, so that rounding it once, to nearest, can be tested.
    """
    return torch.randint(-128, 129, shape, device=device).to(dtype)


def make_clusters(B, N, K, device):
    """Labels as even as possible, and representatives that are members, -1 where there is none."""
    cluster_ids = (torch.rand(B, N, device=device).argsort(dim=1) % K).int()
    seed = torch.tensor([0, 0], device=device)
    return reference.select_representatives(cluster_ids, K, seed), cluster_ids


def make_untrusted_clusters(B, N, K, device):
    """Representatives and labels as memory might hold them: some in range, some far from it."""

    def indices(end, *shape):
        near = torch.randint(-2, end + 2, shape, dtype=torch.int32, device=device)
        far = torch.tensor([-(2**31), 2**31 - 1], dtype=torch.int32, device=device)
        return torch.where(torch.rand(shape, device=device) < 0.1, far[near % 2], near)

    return indices(N, B, K), indices(K, B, N)


GATES = ["none", "[B,D]", "[B,1,D]", "[B,N,D]", "expanded", "chunk-of-all-modulation"]
by_gate = pytest.mark.parametrize("gate", GATES)


def make_gate(kind, B, N, D, dtype, device):
    """A gate, shift or scale in one of the forms models keep them in."""
    if kind == "none":
        return None
    if kind == "chunk-of-all-modulation":
        return torch.randn(B, 6 * D, dtype=dtype, device=device).chunk(6, dim=1)[2]
    shape = {"[B,D]": (B, D), "[B,N,D]": (B, N, D)}.get(kind, (B, 1, D))
    gate = torch.randn(shape, dtype=dtype, device=device)
    return gate.expand(B, N, D) if kind == "expanded" else gate


LAYOUTS = ["chunk", "unaligned", "every-other", "tokens-first"]
by_layout = pytest.mark.parametrize("layout", LAYOUTS)
FILL = 7  # what lies around a view's values


def laid_out(argument, layout):
    """The same values as a view of a larger buffer, every stride but the last another.

    Numbers, None and tensors of fewer than two dimensions have but one layout.
    """
    if not isinstance(argument, torch.Tensor) or argument.dim() < 2:
        return argument
    *outer, N, D = argument.shape
    if layout == "chunk":  # of a fused projection
        view = argument.new_full((*outer, N, 3 * D), FILL).chunk(3, dim=-1)[1]
    elif layout == "unaligned":
        view = argument.new_full((*outer, N, D + 1), FILL)[..., 1:]
    elif layout == "every-other":
        view = argument.new_full((*outer, 2 * N + 1, D), FILL)[..., 1::2, :]
    else:
        view = argument.new_full((N, *outer, D), FILL).moveaxis(0, -2)
    return view.copy_(argument)


def wrote_only(view):
    """Whether a view of ``laid_out`` is all that changed of its buffer. Overwrites the view."""
    view.fill_(FILL)
    return bool((view._base == FILL).all())


def applied(op_, tensor, *args):
    """What an operator that writes in place makes of a copy of the tensor."""
    tensor = tensor.clone()
    assert op_(tensor, *args) is None
    return tensor


def same_but_for_norms(ours, theirs, norm, device):
    """Bit for bit, save that a CUDA kernel sums a row for its norm in the order of its packets,
    which unaligned rows have none of: seen on an H200."""
    if norm == "none" or device == "cpu":
        assert torch.equal(ours, theirs)
    else:
        torch.testing.assert_close(ours, theirs)
