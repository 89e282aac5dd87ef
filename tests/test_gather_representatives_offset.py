"""gather_representatives where the rows have moved since the stream was written."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clusca_ext import ops, reference
from cluster_cases import by_outside, rows_at
from errors import assert_rejected
from inputs import (
    DTYPES,
    EXAMPLES,
    LAYOUTS,
    SEEDS,
    SIZES,
    by_cluster_shape,
    by_dtype,
    by_layout,
    laid_out,
    make_clusters,
    make_gate,
    make_untrusted_clusters,
    make_whole,
    same_but_for_norms,
)

NORMS = ["layer", "rms", "none"]
by_norm = pytest.mark.parametrize("norm", NORMS)


def make_inputs(B, N, K, D, dtype, device, norm="layer", kind="[B,1,D]"):
    """Arguments in the operator's order, every optional one given."""
    tokens = 0.5 + 2 * torch.randn(B, N, D, device=device)
    representatives, _ = make_clusters(B, N, K, device)
    shift, scale = (make_gate(kind, B, N, D, dtype, device) for _ in range(2))
    weight, bias = torch.randn(2, D, dtype=dtype, device=device)
    offset = torch.randn(B, K, D, device=device)
    return tokens.to(dtype), representatives, shift, scale, 1e-5, weight, bias, norm, offset


def assert_matches_reference(ours, *args):
    """Rows are one sum, rounded once; of norms see tests/test_gather_representatives.py."""
    rows, modulated = reference.gather_representatives(*args)
    assert torch.equal(ours[0], rows)
    torch.testing.assert_close(ours[1], modulated)


@by_dtype
@by_cluster_shape
@by_norm
def test_matches_reference(B, N, K, D, dtype, norm, device):
    args = make_inputs(B, N, K, D, dtype, device, norm)
    assert_matches_reference(ops.gather_representatives(*args), *args)


@by_dtype
@by_norm
def test_matches_reference_at_a_models_width(dtype, norm, device):
    args = make_inputs(1, 20, 4, 3072, dtype, device, norm)
    assert_matches_reference(ops.gather_representatives(*args), *args)


@by_dtype
@by_norm
def test_no_offset_is_one_of_zeros(dtype, norm, device):
    *args, offset = make_inputs(2, 20, 4, 129, dtype, device, norm)
    zeros = ops.gather_representatives(*args, torch.zeros_like(offset))
    for ours, theirs in zip(zeros, ops.gather_representatives(*args), strict=True):
        assert torch.equal(ours, theirs)


@by_dtype
@by_norm
def test_the_norm_is_of_the_sum(norm, device, dtype):
    """As of a stream to which the offset has been added, where nothing needs rounding."""
    tokens, offset = make_whole(2, 2, 20, 40, dtype=torch.float32, device=device) / 4
    _, representatives, *rest, _ = make_inputs(2, 20, 4, 40, dtype, device, norm)
    at_tokens = rows_at(offset, representatives)
    args = tokens.to(dtype), representatives, *rest
    moved = ops.gather_representatives((tokens + offset).to(dtype), representatives, *rest)
    for ours, theirs in zip(ops.gather_representatives(*args, at_tokens), moved, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_the_norm_reads_what_rows_round(dtype, device):
    """An offset too small to change a row of a half type still reaches its norm."""
    tokens = torch.full((1, 5, 64), 256.0, dtype=dtype, device=device)
    representatives = torch.tensor([[2]], dtype=torch.int32, device=device)
    offset = 2**-4 * (torch.arange(64, device=device) % 2).expand(1, 1, 64).float()
    rows, modulated = ops.gather_representatives(tokens, representatives, offset=offset)
    assert torch.equal(rows, tokens[:, 2:3])
    signs = (2 * (torch.arange(64, device=device) % 2) - 1).to(dtype)
    torch.testing.assert_close(modulated[0, 0], signs, atol=2e-3, rtol=0)  # eps: 1e-6 of 2^-10


@by_dtype
def test_rounds_once(dtype, device):
    tokens, shift, scale = make_whole(3, 2, 20, 129, dtype=dtype, device=device)
    offset = make_whole(2, 4, 129, dtype=torch.float32, device=device) / 2**8
    representatives, _ = make_clusters(2, 20, 4, device)
    args = (tokens, representatives, shift, scale, 0.0, None, None, "none", offset)
    expected = reference.gather_representatives(*args)
    for ours, theirs in zip(ops.gather_representatives(*args), expected, strict=True):
        assert torch.equal(ours, theirs)


@by_dtype
@by_norm
@by_outside
def test_representatives_out_of_range_give_zeros(outside, norm, dtype, device):
    args = list(make_inputs(2, 33, 4, 40, dtype, device, norm, "[B,N,D]"))
    whole = ops.gather_representatives(*args)
    args[1] = args[1].clone()
    args[1][:, 2] = outside
    for ours, inside in zip(ops.gather_representatives(*args), whole, strict=True):
        assert not ours[:, 2].any()
        assert torch.equal(ours[:, [0, 1, 3]], inside[:, [0, 1, 3]])


@by_dtype
def test_a_batch_equals_its_rows(dtype, device):
    tokens, representatives, shift, scale, *rest, offset = make_inputs(3, 20, 4, 129, dtype, device)
    batch = ops.gather_representatives(tokens, representatives, shift, scale, *rest, offset)
    for b in range(3):
        only = slice(b, b + 1)
        of_row = (part[only] for part in (tokens, representatives, shift, scale))
        row = ops.gather_representatives(*of_row, *rest, offset[only])
        for ours, whole in zip(row, batch, strict=True):
            assert torch.equal(ours[0], whole[b])


@by_dtype
@by_layout
@by_norm
def test_layout_does_not_matter(norm, layout, dtype, device):
    *args, offset = make_inputs(3, 20, 4, 40, dtype, device, norm)
    dense = ops.gather_representatives(*args, offset)
    view = laid_out(offset, layout)
    of_offset = ops.gather_representatives(*args, view)
    of_all = ops.gather_representatives(*[laid_out(argument, layout) for argument in args], view)
    for ours, theirs in zip((*of_offset, *of_all), (*dense, *dense), strict=True):
        same_but_for_norms(ours, theirs, norm, device)
    assert torch.equal(view, offset)


@EXAMPLES
@given(SIZES, SEEDS, *map(st.sampled_from, (DTYPES, LAYOUTS, NORMS, ["[B,D]", "[B,N,D]"])))
def test_any_input_matches_reference(device, sizes, seed, dtype, layout, norm, form):
    B, N, K, D = sizes
    torch.manual_seed(seed)
    args = list(make_inputs(B, N, K, D, dtype, device, norm, form))
    args[1], _ = make_untrusted_clusters(B, N, K, device)
    ours = ops.gather_representatives(*[laid_out(argument, layout) for argument in args])
    assert_matches_reference(ours, *args)


@by_dtype
def test_opcheck(dtype, device):
    args = make_inputs(2, 33, 4, 24, dtype, device)
    torch.library.opcheck(torch.ops.clusca.gather_representatives.default, args)


@pytest.mark.parametrize(
    "offset, message",
    [
        (torch.zeros(3, 4), "offset must have shape [2, 3, 4], got [3, 4]"),
        (torch.zeros(2, 9, 4), "offset must have shape [2, 3, 4], got [2, 9, 4]"),
        (torch.zeros(2, 3, 4).half(), "offset must be float32, got float16"),
        (torch.zeros(2, 4, 3).mT, "offset must be dense in its last dimension, got stride 3"),
    ],
)
def test_rejects(offset, message):
    representatives = torch.zeros(2, 3).int()
    for dtype in DTYPES:
        tokens = torch.zeros(2, 9, 4, dtype=dtype)
        rest = (None, None, 1e-6, None, None, "layer", offset)
        assert_rejected("gather_representatives", (tokens, representatives, *rest), message)
