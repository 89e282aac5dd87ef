import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clusca_ext import ops, reference
from cluster_cases import by_outside, cluster_without
from collapse_cases import (
    COLLAPSE,
    REJECTED_COLLAPSE,
    REJECTED_COLLAPSE_TENSORS,
    M,
    make_inputs,
    make_modules,
)
from errors import assert_rejected
from inputs import (
    EXAMPLES,
    GATES,
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
)
from residual_cases import PAIRS

by_pair = pytest.mark.parametrize("dtype, factors_dtype", PAIRS, ids=str)
by_correction = pytest.mark.parametrize("corrected", [False, True], ids=["alone", "corrected"])


def assert_matches_reference(*args):
    ours = ops.collapsed_residual(*args)
    assert ours.dtype == args[0].dtype
    torch.testing.assert_close(ours, reference.collapsed_residual(*args))


@by_dtype
@by_cluster_shape
@by_correction
def test_matches_reference(B, N, K, D, dtype, corrected, device):
    assert_matches_reference(*make_inputs(B, N, K, D, dtype, device, corrected=corrected))


@by_dtype
@by_correction
@pytest.mark.parametrize("orders", range(1, 9))
def test_every_order_matches_reference(orders, corrected, dtype, device):
    options = {"orders": orders, "corrected": corrected}
    assert_matches_reference(*make_inputs(2, 9, 3, 1100, dtype, device, **options))


@by_pair
@by_gate
def test_mixed_precision_and_every_form_of_gate(gate, dtype, factors_dtype, device):
    for gate_dtype in (dtype, torch.float32):
        options = {"factors_dtype": factors_dtype, "gate": gate, "gate_dtype": gate_dtype}
        assert_matches_reference(*make_inputs(3, 33, 4, 40, dtype, device, **options))


@by_dtype
def test_every_module_has_a_gate_of_its_own_form(dtype, device):
    x, factors, _, *rest = make_inputs(3, 33, 4, 40, dtype, device, modules=len(GATES))
    gates = [make_gate(form, 3, 33, 40, dtype, device) for form in GATES]
    gates[1] = gates[1].float()
    assert_matches_reference(x, factors, gates, *rest)


@by_dtype
@by_correction
def test_rounds_once(corrected, dtype, device):
    x, *values = make_whole(1 + 4 * M, 2, 64, 129, dtype=dtype, device=device)
    factors = [torch.stack(values[3 * m : 3 * m + 3]) for m in range(M)]
    clusters = make_whole(2, 4, 129, dtype=torch.float32, device=device)
    clusters = (clusters, *make_clusters(2, 64, 4, device), 0.5) if corrected else ()
    args = (x, factors, values[3 * M :], 2**-3, *clusters)
    expected = reference.collapsed_residual(*args)
    ours = ops.collapsed_residual(*args)
    assert torch.equal(ours, expected)
    if dtype != torch.float32:  # where module by module every sum is rounded
        one_by_one = x.clone()
        for of_module, gate in zip(factors, values[3 * M :], strict=True):
            ops.forecast_residual_(one_by_one, of_module, gate, 2**-3)
        assert not torch.equal(one_by_one, ops.collapsed_residual(*args[:4]))


@by_dtype
@by_outside
def test_indices_out_of_range_keep_the_forecast(outside, dtype, device):
    x, factors, gates, distance, correction, representatives, cluster_ids, gamma = make_inputs(
        2, 33, 4, 40, dtype, device
    )
    modules = x, factors, gates, distance
    whole = ops.collapsed_residual(*modules, correction, representatives, cluster_ids, gamma)
    forecast = ops.collapsed_residual(*modules)
    broken, alone = cluster_without(representatives, cluster_ids, 2, outside)
    lost = torch.arange(33, device=device) % 3 == 0
    labels = cluster_ids.masked_fill(lost, outside)
    ours = ops.collapsed_residual(*modules, correction, broken, labels, gamma)
    assert torch.equal(ours, torch.where((alone | lost).unsqueeze(-1), forecast, whole))


@by_dtype
@by_correction
@pytest.mark.parametrize("gate", ["[B,D]", "[B,N,D]"])
def test_a_batch_equals_its_rows(gate, corrected, dtype, device):
    args = make_inputs(3, 33, 4, 129, dtype, device, gate=gate, corrected=corrected)
    x, factors, gates, distance, *clusters, gamma = args
    batch = ops.collapsed_residual(*args)
    for b in range(3):
        only = slice(b, b + 1)
        modules = [of[:, only] for of in factors], [of[only] for of in gates]
        of_row = [part if part is None else part[only] for part in clusters]
        row = ops.collapsed_residual(x[only], *modules, distance, *of_row, gamma)
        assert torch.equal(row[0], batch[b])


@by_dtype
@by_layout
@by_correction
@pytest.mark.parametrize("gate", ["[B,D]", "[B,N,D]"])
def test_layout_does_not_matter(gate, corrected, layout, dtype, device):
    args = make_inputs(3, 33, 4, 40, dtype, device, gate=gate, corrected=corrected)
    views = [
        [laid_out(each, layout) for each in argument]
        if isinstance(argument, list)
        else laid_out(argument, layout)
        for argument in args
    ]
    ours = ops.collapsed_residual(*views)
    assert torch.equal(ours, ops.collapsed_residual(*args))
    assert torch.equal(views[0], args[0])


@by_dtype
@pytest.mark.parametrize("odd", range(3))
def test_one_module_off_its_packets_does_not_matter(odd, dtype, device):
    """Factors of the strides of all others that begin between two packets."""
    x, factors, *rest = make_inputs(2, 9, 3, 40, dtype, device)
    expected = ops.collapsed_residual(x, factors, *rest)
    shifted = factors[odd].new_empty(factors[odd].numel() + 1)[1:].view_as(factors[odd])
    factors[odd] = shifted.copy_(factors[odd])
    assert torch.equal(ops.collapsed_residual(x, factors, *rest), expected)


@by_dtype
@by_correction
@pytest.mark.parametrize("orders", [1, 3, 6])
def test_gamma_and_weights_may_be_tensors(orders, corrected, dtype, device):
    options = {"orders": orders, "corrected": corrected}
    x, factors, gates, distance, *clusters, gamma = make_inputs(
        2, 33, 4, 40, dtype, device, **options
    )
    expected = ops.collapsed_residual(x, factors, gates, distance, *clusters, gamma)
    gamma = gamma if gamma is None else torch.tensor(gamma, device=device)
    weights = torch.tensor(reference.taylor_weights(distance, orders), device=device)
    for each in ([weights] * M, [weights.expand(2, orders), weights, weights]):
        ours = ops.collapsed_residual(x, factors, gates, each, *clusters, gamma)
        assert torch.equal(ours, expected)
    own = [torch.randn(*rows, orders, device=device) for rows in [(2,), (), (2,)]]
    assert_matches_reference(x, factors, gates, own, *clusters, gamma)


@EXAMPLES
@given(
    SIZES,
    SEEDS,
    *map(st.sampled_from, (PAIRS, LAYOUTS, GATES, [False, True])),
    st.integers(1, 8),
    st.integers(1, 5),
    st.floats(0, 1, width=32),
)
def test_any_input_matches_reference(
    device, sizes, seed, dtypes, layout, form, corrected, orders, modules, gamma
):
    B, N, K, D = sizes
    torch.manual_seed(seed)
    x = torch.randn(B, N, D, dtype=dtypes[0], device=device)
    args = (B, N, D, dtypes[1], device, orders, form, dtypes[0])
    factors, gates = make_modules(modules, *args)
    clusters = ()
    if corrected:
        correction = torch.randn(B, K, D, device=device)
        clusters = (correction, *make_untrusted_clusters(B, N, K, device), gamma)
    ours = ops.collapsed_residual(
        laid_out(x, layout),
        [laid_out(of, layout) for of in factors],
        [laid_out(of, layout) for of in gates],
        1.5,
        *[laid_out(argument, layout) for argument in clusters],
    )
    theirs = reference.collapsed_residual(x, factors, gates, 1.5, *clusters)
    # Sums of up to forty products: their order is worth a few of float32's last places.
    tolerance = {"atol": 1e-4, "rtol": 1e-5} if x.dtype == torch.float32 else {}
    torch.testing.assert_close(ours, theirs, **tolerance)


@by_pair
@by_correction
@pytest.mark.parametrize("overload", ["default", "tensor"])
def test_opcheck(overload, corrected, dtype, factors_dtype, device):
    args = list(
        make_inputs(2, 33, 4, 24, dtype, device, factors_dtype=factors_dtype, corrected=corrected)
    )
    args[2][1] = None
    if overload == "tensor":
        args[3] = [torch.tensor([1.0, 2.0], device=device)] * M
        args[7] = torch.tensor(0.3, device=device) if corrected else None
    torch.library.opcheck(getattr(torch.ops.clusca.collapsed_residual, overload), tuple(args))


@pytest.mark.parametrize("override, message", REJECTED_COLLAPSE)
def test_rejects(override, message):
    assert_rejected("collapsed_residual", (COLLAPSE | override).values(), message)


@pytest.mark.parametrize("override, message", REJECTED_COLLAPSE_TENSORS)
def test_rejects_tensors(override, message):
    tensors = {"distance": [torch.zeros(3)] * 2, "gamma": torch.tensor(0.3)}
    assert_rejected(
        "collapsed_residual", (COLLAPSE | tensors | override).values(), message, "tensor"
    )


@pytest.mark.parametrize(
    "gamma, distance", [(torch.tensor(0.3), 1.0), (0.3, [torch.zeros(3), torch.zeros(3)])]
)
def test_gamma_and_distance_are_of_one_kind(gamma, distance):
    first = distance[0] if isinstance(distance, list) else distance
    kinds = f"gamma: {type(gamma).__name__}, distance: {type(first).__name__}"
    with pytest.raises(ValueError) as caught:
        ops.collapsed_residual(**COLLAPSE | {"gamma": gamma, "distance": distance})
    message = "gamma and distance must all be numbers or all be tensors, got "
    assert str(caught.value) == message + kinds
