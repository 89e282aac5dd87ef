import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clusca_ext import ops, reference
from errors import assert_rejected
from inputs import (
    DTYPES,
    EXAMPLES,
    LAYOUTS,
    SEEDS,
    SIZES,
    applied,
    by_dtype,
    by_layout,
    by_token_shape,
    laid_out,
    make_whole,
    wrote_only,
)
from lean_cases import ACCUMULATE, REJECTED_ACCUMULATE, make_accumulators

by_components = pytest.mark.parametrize("C", [1, 2, 3, 4, 7, 8, 13])


def assert_matches_reference(*args):
    ours = applied(ops.lean_accumulate_, *args)
    torch.testing.assert_close(ours, reference.lean_accumulate_(*args))


@by_dtype
@by_token_shape
def test_matches_reference(B, N, D, dtype, device):
    assert_matches_reference(*make_accumulators(4, B, N, D, dtype, device))


@by_dtype
@by_components
def test_every_number_of_components_matches_reference(C, dtype, device):
    for shape in ((2, 33, 40), (3, 9, 1100)):
        assert_matches_reference(*make_accumulators(C, *shape, dtype, device))


@by_dtype
@by_components
def test_whole_numbers_are_added_exactly(C, dtype, device):
    """They would show a token, a component or a channel that took another's."""
    accumulators = make_whole(C, 2, 37, 300, dtype=torch.float32, device=device)
    feature = make_whole(2, 37, 300, dtype=dtype, device=device)
    phi = make_whole(C, 2, 300, dtype=torch.float32, device=device)
    args = accumulators, feature, phi
    assert torch.equal(applied(ops.lean_accumulate_, *args), reference.lean_accumulate_(*args))


@by_dtype
def test_a_component_is_a_gated_residual(dtype, device):
    """Of a float32 stream: what it adds is the feature behind a gate of its own."""
    accumulators, feature, phi = make_accumulators(3, 2, 33, 129, dtype, device)
    ours = applied(ops.lean_accumulate_, accumulators, feature, phi)
    for c in range(3):
        alone = applied(ops.forecast_residual_, accumulators[c], feature.unsqueeze(0), phi[c], 1.0)
        torch.testing.assert_close(ours[c], alone)


@by_dtype
def test_modules_in_either_half_of_a_joint_stream(dtype, device):
    """Features and accumulators are slices of what holds text and image tokens."""
    accumulators, feature, phi = make_accumulators(4, 2, 33, 40, dtype, device)
    expected = reference.lean_accumulate_(accumulators, feature, phi)
    ours = accumulators.clone()
    for part in (slice(0, 11), slice(11, 33)):
        ops.lean_accumulate_(ours[:, :, part], feature[:, part], phi)
    torch.testing.assert_close(ours, expected)
    some = accumulators.clone()
    ops.lean_accumulate_(some[::2], feature, phi[::2])
    torch.testing.assert_close(some[::2], expected[::2])
    assert torch.equal(some[1::2], accumulators[1::2])


@by_dtype
def test_phi_may_be_one_for_all_rows(dtype, device):
    accumulators, feature, phi = make_accumulators(4, 3, 9, 40, dtype, device)
    spread = phi[:, :1].expand(4, 3, 40)
    expected = applied(ops.lean_accumulate_, accumulators, feature, spread.contiguous())
    assert torch.equal(applied(ops.lean_accumulate_, accumulators, feature, spread), expected)


@by_dtype
def test_a_batch_equals_its_rows(dtype, device):
    accumulators, feature, phi = make_accumulators(4, 3, 37, 129, dtype, device)
    batch = applied(ops.lean_accumulate_, accumulators, feature, phi)
    for b in range(3):
        only = slice(b, b + 1)
        row = applied(ops.lean_accumulate_, accumulators[:, only], feature[only], phi[:, only])
        assert torch.equal(row[:, 0], batch[:, b])


@by_dtype
@by_layout
def test_layout_does_not_matter(layout, dtype, device):
    args = make_accumulators(4, 2, 33, 40, dtype, device)
    expected = applied(ops.lean_accumulate_, *args)
    views = [laid_out(each, layout) for each in args]
    ops.lean_accumulate_(*views)
    assert torch.equal(views[0], expected)
    assert torch.equal(views[1], args[1])
    assert wrote_only(views[0])


@by_dtype
@pytest.mark.parametrize("odd", range(3))
def test_one_argument_off_its_packets_does_not_matter(odd, dtype, device):
    args = list(make_accumulators(3, 2, 9, 40, dtype, device))
    expected = applied(ops.lean_accumulate_, *args)
    shifted = args[odd].new_empty(args[odd].numel() + 1)[1:].view_as(args[odd])
    args[odd] = shifted.copy_(args[odd])
    ops.lean_accumulate_(*args)
    assert torch.equal(args[0], expected)


@EXAMPLES
@given(SIZES, SEEDS, st.sampled_from(DTYPES), st.sampled_from(LAYOUTS), st.integers(1, 9))
def test_any_input_matches_reference(device, sizes, seed, dtype, layout, C):
    B, N, _, D = sizes
    torch.manual_seed(seed)
    args = make_accumulators(C, B, N, D, dtype, device)
    views = [laid_out(each, layout) for each in args]
    ops.lean_accumulate_(*views)
    torch.testing.assert_close(views[0], reference.lean_accumulate_(*args))


@by_dtype
def test_opcheck(dtype, device):
    args = make_accumulators(3, 2, 33, 24, dtype, device)
    torch.library.opcheck(torch.ops.clusca.lean_accumulate_.default, args)


@pytest.mark.parametrize("override, message", REJECTED_ACCUMULATE)
def test_rejects(override, message):
    assert_rejected("lean_accumulate_", (ACCUMULATE | override).values(), message)
