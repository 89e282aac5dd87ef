import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clusca_ext import ops, reference
from collapse_cases import REJECTED_SUMS, SUMS
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

MOST = 76  # modules one launch takes: kMaxModules of csrc/kernels/collapse_forecasts.h
by_steps = pytest.mark.parametrize("S", range(1, 9))


def make_gates(count, S, B, D, dtype, device):
    """None, one for the batch, one a row, and a chunk of what a model computes at once."""
    wide = torch.randn(S, B, 6 * D, dtype=dtype, device=device)
    forms = [
        None,
        torch.randn(S, 1, D, dtype=dtype, device=device),
        torch.randn(S, B, D, dtype=dtype, device=device),
        wide.chunk(6, dim=-1)[5],
    ]
    return [forms[m % 4] for m in range(count)]


def make_inputs(S, B, N, D, dtype, device, orders=2, modules=4, gate_dtype=None):
    """The operator's arguments, what it overwrites full of NaN."""
    sums = torch.full((S, B, N, D), float("nan"), device=device)
    factors = list(torch.randn(modules, orders, B, N, D, dtype=dtype, device=device))
    gates = make_gates(modules, S, B, D, gate_dtype or dtype, device)
    weights = list(torch.randn(modules, S, orders, device=device))
    return sums, factors, gates, weights


# A sum of some ten products, taken in another order than the reference's.
CLOSE = {"atol": 5e-5, "rtol": 1e-5}


def assert_matches_reference(*args):
    ours = applied(ops.collapse_forecasts_, *args)
    torch.testing.assert_close(ours, reference.collapse_forecasts_(*args), **CLOSE)


@by_dtype
@by_token_shape
def test_matches_reference(B, N, D, dtype, device):
    assert_matches_reference(*make_inputs(5, B, N, D, dtype, device))


@by_steps
@by_dtype
def test_every_number_of_steps_matches_reference(S, dtype, device):
    for shape in ((3, 33, 40), (1, 9, 1100)):
        assert_matches_reference(*make_inputs(S, *shape, dtype, device))


@by_dtype
@pytest.mark.parametrize("orders", range(1, 9))
def test_every_order_matches_reference(orders, dtype, device):
    assert_matches_reference(*make_inputs(3, 2, 33, 129, dtype, device, orders))


@by_dtype
@pytest.mark.parametrize("gate_dtype", DTYPES, ids=str)
def test_gates_may_be_of_any_dtype(gate_dtype, dtype, device):
    assert_matches_reference(*make_inputs(3, 2, 33, 40, dtype, device, gate_dtype=gate_dtype))


@by_dtype
def test_more_modules_than_one_launch_takes(dtype, device):
    for count in (MOST - 1, MOST, MOST + 1, 2 * MOST + 1):
        assert_matches_reference(*make_inputs(3, 2, 5, 24, dtype, device, modules=count))


@by_steps
@by_dtype
def test_whole_numbers_are_summed_exactly(S, dtype, device):
    """In whatever order: they would show a token, a step or a channel that took another's."""
    factors = list(make_whole(4, 2, 2, 37, 300, dtype=dtype, device=device))
    gates = [make_whole(S, 2, 300, dtype=dtype, device=device) for _ in factors]
    weights = [torch.randint(-2, 3, (S, 2), device=device).float() for _ in factors]
    sums = torch.empty(S, 2, 37, 300, device=device)
    args = sums, factors, gates, weights
    assert torch.equal(
        applied(ops.collapse_forecasts_, *args), reference.collapse_forecasts_(*args)
    )


@by_dtype
def test_steps_that_a_cache_passes_over_do_not_matter(dtype, device):
    """More sums than caches hold are stored past them."""
    args = make_inputs(8, 2, 1300, 128, dtype, device, modules=2)
    ours = applied(ops.collapse_forecasts_, *args)
    for s in range(8):
        gates = [gate if gate is None else gate[s : s + 1] for gate in args[2]]
        weights = [each[s : s + 1] for each in args[3]]
        one = applied(ops.collapse_forecasts_, args[0][s : s + 1], args[1], gates, weights)
        torch.testing.assert_close(ours[s], one[0], **CLOSE)


@by_dtype
def test_a_sum_is_a_module_of_its_own(dtype, device):
    """What a cached step does with it: the stream after all modules, of any precision."""
    sums, factors, gates, weights = make_inputs(3, 2, 33, 40, torch.float32, device)
    ops.collapse_forecasts_(sums, factors, gates, weights)
    x, unit = torch.randn(2, 33, 40, device=device), torch.ones(1, device=device)
    for s in range(3):
        at_step = [gate if gate is None else gate[s].expand(2, -1) for gate in gates]
        expected = ops.collapsed_residual(x, factors, at_step, [each[s] for each in weights])
        ours = ops.collapsed_residual(x, [sums[s : s + 1]], [None], [unit])
        torch.testing.assert_close(ours, expected, **CLOSE)
        rounded = ops.collapsed_residual(x.to(dtype), [sums[s : s + 1]], [None], [unit])
        assert torch.equal(rounded, (x.to(dtype).float() + sums[s]).to(dtype))


@by_dtype
def test_a_batch_equals_its_rows(dtype, device):
    sums, factors, gates, weights = make_inputs(5, 3, 37, 129, dtype, device)
    batch = applied(ops.collapse_forecasts_, sums, factors, gates, weights)
    for b in range(3):
        only = slice(b, b + 1)
        of_row = [g if g is None or g.shape[1] == 1 else g[:, only] for g in gates]
        args = sums[:, only], [of[:, only] for of in factors], of_row, weights
        assert torch.equal(applied(ops.collapse_forecasts_, *args)[:, 0], batch[:, b])


@by_dtype
@by_layout
def test_layout_does_not_matter(layout, dtype, device):
    args = make_inputs(5, 2, 33, 40, dtype, device)
    expected = applied(ops.collapse_forecasts_, *args)
    sums = laid_out(args[0], layout)
    lists = [[laid_out(each, layout) for each in argument] for argument in args[1:]]
    ops.collapse_forecasts_(sums, *lists)
    assert torch.equal(sums, expected)
    assert wrote_only(sums)


@by_dtype
@pytest.mark.parametrize("odd", range(4))
def test_one_module_off_its_packets_does_not_matter(odd, dtype, device):
    sums, factors, *rest = make_inputs(5, 2, 9, 40, dtype, device)
    expected = applied(ops.collapse_forecasts_, sums, factors, *rest)
    shifted = factors[odd].new_empty(factors[odd].numel() + 1)[1:].view_as(factors[odd])
    factors[odd] = shifted.copy_(factors[odd])
    assert torch.equal(applied(ops.collapse_forecasts_, sums, factors, *rest), expected)


@EXAMPLES
@given(
    SIZES,
    SEEDS,
    *map(st.sampled_from, (DTYPES, DTYPES, LAYOUTS)),
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(1, 6),
)
def test_any_input_matches_reference(
    device, sizes, seed, dtype, gate_dtype, layout, steps, orders, modules
):
    B, N, _, D = sizes
    torch.manual_seed(seed)
    args = make_inputs(steps, B, N, D, dtype, device, orders, modules, gate_dtype)
    ours = laid_out(args[0], layout)
    ops.collapse_forecasts_(ours, *[[laid_out(each, layout) for each in of] for of in args[1:]])
    theirs = reference.collapse_forecasts_(*args)
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-5)  # up to fifty products


@by_dtype
def test_opcheck(dtype, device):
    args = make_inputs(3, 2, 33, 24, dtype, device)
    torch.library.opcheck(torch.ops.clusca.collapse_forecasts_.default, args)


@pytest.mark.parametrize("override, message", REJECTED_SUMS)
def test_rejects(override, message):
    assert_rejected("collapse_forecasts_", (SUMS | override).values(), message)
