import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clusca_ext import ops, reference
from cluster_cases import REJECTED_GAMMAS, by_outside, cluster_without, represents, rows_at
from collapse_cases import TOGETHER
from errors import assert_rejected
from inputs import (
    EXAMPLES,
    GATES,
    LAYOUTS,
    SEEDS,
    SIZES,
    by_cluster_shape,
    by_dtype,
    by_layout,
    laid_out,
    make_clusters,
    make_untrusted_clusters,
    make_whole,
    same_but_for_norms,
)
from lean_cases import (
    NORMS,
    OUTPUT,
    REJECTED_OUTPUT,
    assert_output_matches_reference,
    by_correction,
    by_norm,
    by_pair,
    by_weights,
    make_norm,
    make_sums,
)
from residual_cases import PAIRS


@by_dtype
@by_cluster_shape
@by_correction
@by_weights
def test_matches_reference(B, N, K, D, dtype, by_channel, corrected, device):
    options = {"corrected": corrected, "by_channel": by_channel}
    assert_output_matches_reference(*make_sums(B, N, K, D, dtype, device, **options))


@by_dtype
@by_weights
@pytest.mark.parametrize("count", [1, 2, 4, 5, 6, 8, 11, 40])
def test_every_number_of_sums_matches_reference(count, by_channel, dtype, device):
    args = make_sums(2, 9, 3, 1100, dtype, device, count=count, by_channel=by_channel)
    # Of forty products another order is worth a few of float32's last places.
    many = {"atol": 1e-4, "rtol": 1e-5} if count > 11 and dtype == torch.float32 else {}
    assert_output_matches_reference(*args, **many)


@by_dtype
@by_correction
@by_weights
def test_rounds_once(by_channel, corrected, dtype, device):
    x, *sums = make_whole(4, 2, 64, 129, dtype=dtype, device=device)
    channels = [129] if by_channel else []
    weights = make_whole(3, 2, *channels, dtype=torch.float32, device=device) / 8
    learnt = make_whole(2, 4, 129, dtype=torch.float32, device=device)
    clusters = (learnt, *make_clusters(2, 64, 4, device), 0.5) if corrected else ()
    args = x, torch.stack(sums), weights, *clusters
    assert torch.equal(ops.lean_output(*args), reference.lean_output(*args))


@by_dtype
@by_norm
def test_a_sum_of_weight_0_is_not_read(norm, dtype, device):
    """Row by row, whatever it holds; a weight of -0, too."""
    x, sums, weights, *clusters = make_sums(2, 33, 4, 40, dtype, device, count=5)
    weights[1] = 0
    weights[3, 0] = -0.0
    broken = sums.clone()
    broken[1], broken[3, 0] = float("nan"), float("inf")
    following = make_norm(norm, 2, 33, 40, dtype, device)
    expected = ops.lean_output(x, sums, weights, *clusters, *following)
    assert expected.isfinite().all()
    ours = ops.lean_output(x, broken, weights, *clusters, *following)
    assert torch.equal(ours, expected)
    nothing = ops.lean_output(x, torch.full_like(sums, float("nan")), torch.zeros_like(weights))
    assert torch.equal(nothing, x)


@by_dtype
def test_weights_of_a_single_1_choose_a_sum(dtype, device):
    x, sums, _, *clusters = make_sums(2, 33, 4, 40, dtype, device, count=5)
    weights = torch.zeros(5, 2, device=device)
    weights[3, 0] = weights[4, 1] = 1
    ours = ops.lean_output(x, sums, weights, *clusters)
    chosen = torch.stack([sums[3, 0], sums[4, 1]]).unsqueeze(0)
    expected = ops.lean_output(x, chosen, torch.ones(1, 2, device=device), *clusters)
    assert torch.equal(ours, expected)


@by_dtype
def test_by_channel_all_sums_are_read(dtype, device):
    x, sums, weights, *_ = make_sums(2, 9, 3, 40, dtype, device, by_channel=True)
    weights[1], sums[1, 1, 4] = 0, float("nan")
    ours = ops.lean_output(x, sums, weights)
    is_broken = torch.zeros(2, 9, dtype=torch.bool, device=device)
    is_broken[1, 4] = True
    assert torch.equal(ours.isnan().all(-1), is_broken)
    assert ours[~is_broken].isfinite().all()


@by_pair
@by_correction
def test_without_a_norm_it_is_collapsed_residual(corrected, dtype, sums_dtype, device):
    """Of one module whose factors are the sums."""
    args = make_sums(2, 33, 4, 129, dtype, device, sums_dtype=sums_dtype, corrected=corrected)
    x, sums, weights, *clusters, gamma = args
    gamma = gamma if gamma is None else torch.tensor(gamma, device=device)
    module = [sums], [None], [weights.T.contiguous()]
    expected = ops.collapsed_residual(x, *module, *clusters, gamma)
    torch.testing.assert_close(ops.lean_output(*args), expected)


@by_dtype
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_representatives_take_the_whole_correction_others_gamma_of_it(gamma, dtype, device):
    zeros = torch.zeros(2, 33, 40, dtype=dtype, device=device)
    correction = make_whole(2, 4, 40, dtype=torch.float32, device=device)
    clusters = make_clusters(2, 33, 4, device)
    args = zeros, zeros.unsqueeze(0), torch.ones(1, 2, device=device), correction, *clusters, gamma
    ours = ops.lean_output(*args).float()
    assert torch.equal(rows_at(ours, clusters[0]), correction)
    others = ~represents(clusters[0], 33)
    assert torch.equal(ours[others], (gamma * rows_at(correction, clusters[1]))[others])


@by_dtype
@by_outside
@by_norm
def test_indices_out_of_range_keep_the_forecast(norm, outside, dtype, device):
    args = make_sums(2, 33, 4, 40, dtype, device)
    x, sums, weights, correction, representatives, cluster_ids, gamma = args
    following = make_norm(norm, 2, 33, 40, dtype, device)
    whole = ops.lean_output(*args, *following)
    forecast = ops.lean_output(x, sums, weights, *[None] * 4, *following)
    broken, alone = cluster_without(representatives, cluster_ids, 2, outside)
    lost = torch.arange(33, device=device) % 3 == 0
    labels = cluster_ids.masked_fill(lost, outside)
    ours = ops.lean_output(x, sums, weights, correction, broken, labels, gamma, *following)
    assert torch.equal(ours, torch.where((alone | lost).unsqueeze(-1), forecast, whole))


@by_dtype
@by_weights
@by_norm
def test_a_batch_equals_its_rows(norm, by_channel, dtype, device):
    args = make_sums(3, 33, 4, 129, dtype, device, by_channel=by_channel)
    x, sums, weights, *clusters, gamma = args
    shift, scale, *following = make_norm(norm, 3, 33, 129, dtype, device)
    batch = ops.lean_output(*args, shift, scale, *following)
    for b in range(3):
        only = slice(b, b + 1)
        of_row = [part[only] for part in clusters]
        first = x[only], sums[:, only], weights[:, only], *of_row, gamma
        row = ops.lean_output(*first, shift[only], scale[only], *following)
        assert torch.equal(row[0], batch[b])


@by_dtype
@by_layout
@by_weights
@by_norm
def test_layout_does_not_matter(norm, by_channel, layout, dtype, device):
    args = make_sums(3, 33, 4, 40, dtype, device, by_channel=by_channel)
    args += make_norm(norm, 3, 33, 40, dtype, device, scale="[B,N,D]")
    views = [laid_out(argument, layout) for argument in args]
    same_but_for_norms(ops.lean_output(*views), ops.lean_output(*args), norm, device)
    assert torch.equal(views[0], args[0])


@by_dtype
def test_strides_of_weights_are_free(dtype, device):
    x, sums, weights, *clusters = make_sums(3, 9, 4, 40, dtype, device)
    expected = ops.lean_output(x, sums, weights, *clusters)
    assert torch.equal(ops.lean_output(x, sums, weights.T.contiguous().T, *clusters), expected)
    for each in (weights[:, :1], torch.randn(3, 1, 40, device=device)):
        spread = each.expand(3, 3, *each.shape[2:])
        expected = ops.lean_output(x, sums, spread.contiguous(), *clusters)
        assert torch.equal(ops.lean_output(x, sums, spread, *clusters), expected)


@by_dtype
@by_norm
def test_gamma_may_be_a_tensor(norm, dtype, device):
    *args, gamma = make_sums(2, 33, 4, 40, dtype, device)
    following = make_norm(norm, 2, 33, 40, dtype, device)
    ours = ops.lean_output(*args, torch.tensor(gamma, device=device), *following)
    assert torch.equal(ours, ops.lean_output(*args, gamma, *following))


@EXAMPLES
@given(
    SIZES,
    SEEDS,
    *map(st.sampled_from, (PAIRS, LAYOUTS, GATES, NORMS, [False, True], [False, True])),
    st.integers(1, 9),
    st.floats(0, 1, width=32),
)
def test_any_input_matches_reference(
    device, sizes, seed, dtypes, layout, form, norm, corrected, by_channel, count, gamma
):
    B, N, K, D = sizes
    torch.manual_seed(seed)
    options = {"count": count, "sums_dtype": dtypes[1], "by_channel": by_channel}
    args = list(make_sums(B, N, K, D, dtypes[0], device, corrected=corrected, **options))
    if corrected:
        args[4:] = *make_untrusted_clusters(B, N, K, device), gamma
    args += make_norm(norm, B, N, D, dtypes[0], device, shift=form)
    ours = ops.lean_output(*[laid_out(argument, layout) for argument in args])
    tolerance = {"atol": 5e-4, "rtol": 1e-4} if dtypes[0] == torch.float32 else {}
    torch.testing.assert_close(ours, reference.lean_output(*args), **tolerance)


@by_pair
@by_norm
@pytest.mark.parametrize("overload", ["default", "tensor"])
def test_opcheck(overload, norm, dtype, sums_dtype, device):
    args = list(make_sums(2, 33, 4, 24, dtype, device, sums_dtype=sums_dtype))
    args[6] = torch.tensor(0.3, device=device) if overload == "tensor" else 0.3
    args += make_norm(norm, 2, 33, 24, dtype, device, affine=norm != "none")
    torch.library.opcheck(getattr(torch.ops.clusca.lean_output, overload), tuple(args))


@pytest.mark.parametrize("override, message", REJECTED_OUTPUT)
def test_rejects(override, message):
    assert_rejected("lean_output", (OUTPUT | override).values(), message)


@pytest.mark.parametrize(
    "gamma, message", [*REJECTED_GAMMAS, (None, TOGETHER)], ids=["shape", "dtype", "none"]
)
def test_rejects_tensors(gamma, message):
    assert_rejected("lean_output", (OUTPUT | {"gamma": gamma}).values(), message, "tensor")
