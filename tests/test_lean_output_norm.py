"""lean_output's norm and modulation; what they are of is in tests/test_lean_output.py."""

import pytest
import torch

from clusca_ext import ops
from inputs import GATES, by_cluster_shape, by_dtype
from lean_cases import (
    TOO_WIDE,
    WIDE,
    assert_output_matches_reference,
    by_norm,
    by_pair,
    make_norm,
    make_sums,
)

# Normed rows are of few channels in some shapes: their variance may be small, and what it divides
# is off by float32's last places.
NORMED = {"atol": 1e-4, "rtol": 1e-4}


def near(dtype):
    return NORMED if dtype == torch.float32 else {}


@by_dtype
@by_cluster_shape
@by_norm
def test_norms_match_reference(B, N, K, D, dtype, norm, device):
    args = make_sums(B, N, K, D, dtype, device)
    assert_output_matches_reference(*args, *make_norm(norm, B, N, D, dtype, device), **near(dtype))


@by_pair
@by_norm
@pytest.mark.parametrize("form", GATES)
def test_mixed_precision_and_every_form_of_modulation(form, norm, dtype, sums_dtype, device):
    args = make_sums(3, 33, 4, 40, dtype, device, sums_dtype=sums_dtype)
    for shift, scale in ((form, "none"), ("[B,D]", form)):
        for follows in (dtype, torch.float32):
            forms = {"shift": shift, "scale": scale, "affine": form != "none"}
            following = make_norm(norm, 3, 33, 40, follows, device, **forms)
            assert_output_matches_reference(*args, *following, **near(dtype))


@by_dtype
@by_norm
@pytest.mark.parametrize("form", ["[B,D]", "[B,N,D]"])
def test_the_norm_is_that_of_gather_representatives(form, norm, dtype, device):
    args = make_sums(2, 33, 4, 129, torch.float32, device)
    following = make_norm(norm, 2, 33, 129, torch.float32, device, shift=form, scale=form)
    tokens = torch.arange(33, dtype=torch.int32, device=device).expand(2, 33)
    _, expected = ops.gather_representatives(ops.lean_output(*args), tokens, *following)
    torch.testing.assert_close(ops.lean_output(*args, *following), expected, **NORMED)


@by_dtype
@by_norm
@pytest.mark.parametrize("odd", [0, 1, 2, 3, 7, 8, 10, 11])
def test_one_argument_off_its_packets_does_not_matter(odd, norm, dtype, device):
    args = list(make_sums(2, 9, 3, 40, dtype, device, by_channel=True))
    args += make_norm(norm, 2, 9, 40, dtype, device)
    expected = ops.lean_output(*args)
    shifted = args[odd].new_empty(args[odd].numel() + 1)[1:].view_as(args[odd])
    args[odd] = shifted.copy_(args[odd])
    # Packets or not, a row's sums are of other threads' parts.
    torch.testing.assert_close(ops.lean_output(*args), expected, **near(dtype))


def test_rows_that_are_normed_fit_a_block(device):
    """24576 channels do, more are summed only."""
    wide = {name: tensor.to(device) for name, tensor in TOO_WIDE.items()}
    message = f"D of x must be at most 24576 where rows are normed or modulated, got {WIDE}"
    for follows in ({"norm": "rms"}, {"shift": torch.zeros(1, WIDE, device=device)}):
        with pytest.raises(ValueError) as caught:
            ops.lean_output(**wide, **follows)
        assert str(caught.value) == f"clusca::lean_output: {message}"
    assert torch.equal(ops.lean_output(**wide), wide["x"])
    fits = wide | {name: wide[name][..., 1:] + 1 for name in ("x", "sums")}
    torch.testing.assert_close(ops.lean_output(**fits, norm="rms"), torch.ones_like(fits["x"]))
