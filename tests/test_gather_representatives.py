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
    by_cluster_shape,
    by_dtype,
    by_gate,
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
    return tokens.to(dtype), representatives, shift, scale, 1e-5, weight, bias, norm


def assert_match(ours, theirs):
    """Rows are copies; of norms, sums over D are taken in another order.

    Their rounding is some 2^-22 of a mean square, and what the norm, the affine weight and the
    scale make of it is a few times that: within assert_close's 1.3e-6 and 1e-5.
    """
    assert torch.equal(ours[0], theirs[0])
    torch.testing.assert_close(ours[1], theirs[1])


@by_dtype
@by_cluster_shape
@by_norm
def test_matches_reference(B, N, K, D, dtype, norm, device):
    args = make_inputs(B, N, K, D, dtype, device, norm)
    assert_match(ops.gather_representatives(*args), reference.gather_representatives(*args))


@by_dtype
@by_norm
def test_matches_reference_at_a_models_width(dtype, norm, device):
    args = make_inputs(1, 20, 4, 3072, dtype, device, norm)
    assert_match(ops.gather_representatives(*args), reference.gather_representatives(*args))


@by_dtype
@by_gate
def test_every_form_of_modulation(gate, dtype, device):
    args = make_inputs(3, 20, 4, 40, dtype, device, kind=gate)
    assert_match(ops.gather_representatives(*args), reference.gather_representatives(*args))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("form", ["[B,D]", "[B,N,D]"])
def test_modulation_and_affine_may_be_float32(form, dtype, device):
    args = list(make_inputs(3, 20, 4, 40, dtype, device))
    args[2], args[3] = (make_gate(form, 3, 20, 40, torch.float32, device) for _ in range(2))
    args[5:7] = torch.randn(2, 40, device=device)
    assert_match(ops.gather_representatives(*args), reference.gather_representatives(*args))


@pytest.mark.parametrize("given_names", [[], ["shift"], ["scale"], ["weight"], ["bias"]], ids=str)
def test_every_argument_may_be_left_out(given_names, device):
    tokens, representatives, shift, scale, _, weight, bias, _ = make_inputs(
        2, 20, 4, 40, torch.float32, device
    )
    optional = {"shift": shift, "scale": scale, "weight": weight, "bias": bias}
    args = tokens, representatives
    kwargs = {name: optional[name] for name in given_names}
    ours = ops.gather_representatives(*args, **kwargs)
    assert_match(ours, reference.gather_representatives(*args, **kwargs))


@by_norm
def test_eps_is_inside_the_root(norm, device):
    args = list(make_inputs(2, 20, 4, 40, torch.float32, device, norm))
    args[4] = 30.0
    assert_match(ops.gather_representatives(*args), reference.gather_representatives(*args))


@by_dtype
def test_without_norm_or_modulation_rows_are_copies(dtype, device):
    tokens, representatives, *_ = make_inputs(2, 20, 4, 40, dtype, device)
    rows, modulated = ops.gather_representatives(tokens, representatives, norm="none")
    for b in range(2):
        assert torch.equal(rows[b], tokens[b, representatives[b].long()])
    assert torch.equal(modulated, rows)


@by_dtype
def test_rounds_once(dtype, device):
    tokens, shift, scale = make_whole(3, 2, 20, 129, dtype=dtype, device=device)
    representatives, _ = make_clusters(2, 20, 4, device)
    args = (tokens, representatives, shift, scale, 0.0, None, None, "none")
    _, modulated = ops.gather_representatives(*args)
    assert torch.equal(modulated, reference.gather_representatives(*args)[1])


def test_a_constant_row_has_norm_zero(device):
    tokens = torch.full((1, 5, 64), 3.0, device=device)  # exact sums: a variance of exactly 0
    representatives = torch.tensor([[2]], dtype=torch.int32, device=device)
    _, modulated = ops.gather_representatives(tokens, representatives)
    assert not modulated.any()


@by_dtype
@by_norm
def test_representatives_out_of_range_give_zeros(dtype, norm, device):
    args = list(make_inputs(1, 20, 6, 40, dtype, device, norm, kind="[B,N,D]"))
    outside = [-1, 20, 2**31 - 1, -(2**31)]
    args[1] = torch.tensor([[3, *outside, 7]], dtype=torch.int32, device=device)
    rows, modulated = ops.gather_representatives(*args)
    assert not rows[0, 1:5].any()
    assert not modulated[0, 1:5].any()
    args[1] = torch.tensor([[3, 7]], dtype=torch.int32, device=device)
    inside_rows, inside_modulated = ops.gather_representatives(*args)
    assert torch.equal(rows[:, [0, 5]], inside_rows)
    assert torch.equal(modulated[:, [0, 5]], inside_modulated)


@by_dtype
def test_a_batch_equals_its_rows(dtype, device):
    tokens, representatives, shift, scale, *rest = make_inputs(3, 20, 4, 129, dtype, device)
    batch = ops.gather_representatives(tokens, representatives, shift, scale, *rest)
    for b in range(3):
        only = slice(b, b + 1)
        row = ops.gather_representatives(
            tokens[only], representatives[only], shift[only], scale[only], *rest
        )
        assert torch.equal(row[0][0], batch[0][b])
        assert torch.equal(row[1][0], batch[1][b])


@by_dtype
@by_layout
@pytest.mark.parametrize("form", ["[B,D]", "[B,1,D]", "[B,N,D]"])
def test_layout_does_not_matter(form, layout, dtype, device):
    args = make_inputs(3, 20, 4, 40, dtype, device, kind=form)
    dense = ops.gather_representatives(*args)
    views = ops.gather_representatives(*[laid_out(argument, layout) for argument in args])
    assert torch.equal(views[0], dense[0])
    same_but_for_norms(views[1], dense[1], "layer", device)


@EXAMPLES
@given(SIZES, SEEDS, *map(st.sampled_from, (DTYPES, LAYOUTS, NORMS, ["[B,D]", "[B,N,D]"])))
def test_any_input_matches_reference(device, sizes, seed, dtype, layout, norm, form):
    B, N, K, D = sizes
    torch.manual_seed(seed)
    args = list(make_inputs(B, N, K, D, dtype, device, norm, form))
    args[1], _ = make_untrusted_clusters(B, N, K, device)
    ours = ops.gather_representatives(*[laid_out(argument, layout) for argument in args])
    assert_match(ours, reference.gather_representatives(*args))


@by_dtype
def test_opcheck(dtype, device):
    args = make_inputs(2, 33, 4, 24, dtype, device)
    torch.library.opcheck(torch.ops.clusca.gather_representatives.default, args)


MODULATION = "must have shape [2, 4], [2, 1, 4] or [2, 9, 4], got"


@pytest.mark.parametrize(
    "override, message",
    [
        ({"tokens": torch.zeros(9, 4)}, "tokens must be [B, N, D], got shape [9, 4]"),
        (
            {"tokens": torch.zeros(2, 9, 4).int()},
            "tokens must be float32, float16 or bfloat16, got int32",
        ),
        ({"tokens": torch.zeros(2, 9, 0)}, "D of tokens must be at least 1, got 0"),
        (
            {"tokens": torch.zeros(2, 4, 9).mT},
            "tokens must be dense in its last dimension, got stride 9",
        ),
        (
            {"representatives": torch.zeros(3).int()},
            "representatives must be [B, K], got shape [3]",
        ),
        (
            {"representatives": torch.zeros(2, 0).int()},
            "K of representatives must be at least 1, got 0",
        ),
        (
            {"representatives": torch.zeros(1, 3).int()},
            "representatives must have shape [2, 3], got [1, 3]",
        ),
        (
            {"representatives": torch.zeros(2, 3).long()},
            "representatives must be int32, got int64",
        ),
        ({"shift": torch.zeros(2, 5)}, f"shift {MODULATION} [2, 5]"),
        ({"shift": torch.zeros(4)}, f"shift {MODULATION} [4]"),
        ({"scale": torch.zeros(2, 3, 4)}, f"scale {MODULATION} [2, 3, 4]"),
        ({"scale": torch.zeros(2, 4).half()}, "scale must be float32, got float16"),
        (
            {"scale": torch.zeros(2, 4, 9).mT},
            "scale must be dense in its last dimension, got stride 9",
        ),
        ({"eps": -1.0}, "eps must be at least 0, got -1"),
        ({"weight": torch.zeros(1, 4)}, "weight must have shape [4], got [1, 4]"),
        ({"weight": torch.zeros(4).double()}, "weight must be float32, got float64"),
        ({"bias": torch.zeros(8)[::2]}, "bias must be dense in its last dimension, got stride 2"),
        ({"norm": "batch"}, 'norm must be one of "layer", "rms", "none", got "batch"'),
    ],
)
def test_rejects(override, message):
    names = ("tokens", "representatives", "shift", "scale", "eps", "weight", "bias", "norm")
    values = (torch.zeros(2, 9, 4), torch.zeros(2, 3).int(), None, None, 1e-6, None, None, "layer")
    arguments = dict(zip(names, values, strict=True)) | override
    assert_rejected("gather_representatives", arguments.values(), message)
