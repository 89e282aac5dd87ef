"""Every operator under torch.compile, inference_mode and autograd."""

import pytest
import torch
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from clusca_ext import ops, reference
from clusca_ext.ops._dispatch import OPS
from op_samples import K, N, assert_equal, by_op, sample, tensors_after, wrapper


@pytest.fixture(autouse=True)
def _forget_compiled_code():
    torch.compiler.reset()


@by_op
def test_compiles_into_one_graph(name, device):
    args = sample(name, device)
    compiled = torch.compile(wrapper(name), fullgraph=True, backend="aot_eager")
    assert_equal(tensors_after(compiled, args), tensors_after(wrapper(name), args))


@by_op
def test_runs_in_inference_mode(name, device):
    args = sample(name, device)
    expected = tensors_after(wrapper(name), args)
    with torch.inference_mode():
        assert_equal(tensors_after(wrapper(name), args), expected)


def cached_step(x, factors, gate, seed):
    """Clusters, representatives, their rows and the residual, between plain torch operators."""
    tokens = x.sin()
    cluster_ids, distances, _, _, _ = ops.kmeans_fit(tokens, tokens[:, :K] + 0.5)
    nearest = ops.select_nearest(cluster_ids, distances, K)
    drawn = ops.select_representatives(cluster_ids, K, seed)
    representatives = torch.where(distances.sum() > 0, drawn, nearest)
    _, modulated = ops.gather_representatives(tokens, representatives, scale=gate)
    tokens = tokens + 1
    args = (modulated.tanh(), representatives, cluster_ids)
    ops.propagate_residual_(tokens, factors, *args, gate, 0.3, 2.0, "delta")
    return ops.cluster_propagate(tokens, *args, 0.5) * 2


def test_inductor_compiles_a_step_once_for_all_sizes(device):
    compiled = torch.compile(cached_step, fullgraph=True, dynamic=True)
    seed = torch.tensor([1, 2], device=device)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for size in (N, 70):
            x, factors, gate, _ = sample("forecast_residual_", device, size)
            expected = cached_step(x, factors, gate, seed)
            torch.testing.assert_close(compiled(x, factors, gate, seed), expected)


def floating(leaves):
    """Places of the tensors that could require grad."""
    return [
        i for i, leaf in enumerate(leaves) if torch.is_tensor(leaf) and leaf.is_floating_point()
    ]


# select_representatives takes whole numbers only.
@pytest.mark.parametrize("name", [name for name in OPS if name != "select_representatives"])
def test_refuses_inputs_that_require_grad(name, device):
    args = sample(name, device)
    word, _, overload = name.partition(".")
    raw = getattr(getattr(torch.ops.clusca, word), overload or "default")
    leaves, structure = tree_flatten(args)
    assert floating(leaves)
    for place in floating(leaves):
        own = leaves[place].detach().clone().requires_grad_()
        wanting = tree_unflatten([*leaves[:place], own, *leaves[place + 1 :]], structure)
        for function, error in [(wrapper(name), ValueError), (raw, RuntimeError)]:
            with pytest.raises(error) as caught:
                function(*wanting)
            assert caught.type is error
            assert str(caught.value) == (
                f"clusca::{name}: inputs must not require grad, got one that does. The operators "
                "are for inference; use torch.no_grad(), or the differentiable "
                f"clusca_ext.reference.{word}"
            )
        with torch.no_grad():
            assert_equal(tensors_after(raw, wanting), tensors_after(raw, args))


@pytest.mark.parametrize(
    "name",
    [
        "gather_representatives",
        "cluster_propagate",
        "propagate_residual_.tensor",
        "carry_representatives_",
        "collapsed_residual.tensor",
    ],
)
def test_the_reference_has_gradients(name, device):
    args = sample(name, device)
    leaves = tree_leaves(args)
    for place in floating(leaves):
        leaves[place].requires_grad_()
    outputs = getattr(reference, name.partition(".")[0])(*args)
    sum(output.square().sum() for output in tree_leaves(outputs)).backward()
    for place in floating(leaves):
        assert leaves[place].grad.any()
