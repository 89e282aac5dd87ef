"""One call of every operator overload, for tests that treat them all alike."""

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

from clusca_ext import ops, reference
from clusca_ext.ops._dispatch import OPS
from inputs import make_clusters
from kmeans_cases import make_tokens

B, N, K, D = 2, 33, 4, 24
FLOATS = torch.float32, torch.float32
by_op = pytest.mark.parametrize("name", OPS)


def sample(name, device, N=N, *, B=B, K=K, D=D, dtypes=FLOATS, metric="l2", **more):
    """Arguments of an operator, those that mutate first.

    Of the two dtypes one is that of tokens and streams, the other that of factors and features.
    More: the ``steps`` of collapse_forecasts_, whether a norm ``follows`` lean_output, the
    iterations ``max_iters`` of kmeans_fit, and the ``kernel`` of k-means, which then comes last.
    """
    kernel = [more["kernel"]] if "kernel" in more else []
    steps, max_iters = more.get("steps", 2), more.get("max_iters", 3)
    tokens, centroids = make_tokens(B, N, K, D, dtypes[0], device)
    clusters = make_clusters(B, N, K, device)
    representatives, cluster_ids = clusters
    factors = torch.randn(3, B, N, D, device=device).to(dtypes[1])
    gate = torch.randn(B, 1, D, device=device).to(dtypes[0])
    gamma = torch.tensor(0.3, device=device)
    weights = torch.tensor([1.0, 2.0, 0.5], device=device)
    carried = torch.randn(2, B, K, D, device=device).unbind()
    computed = centroids.to(dtypes[1])
    modules = [factors, factors.flip(0)], [gate, None]
    learnt = carried[1], *clusters
    numbers = weights.unsqueeze(1).repeat(1, B)
    by_channel = torch.randn(3, B, D, device=device)
    follows = (gate, gate, 1e-5, None, None, "rms") if more.get("follows", True) else ()
    return {
        "kmeans_assign": (tokens, centroids, metric, *kernel),
        "kmeans_step": (tokens, centroids, metric, *kernel),
        "kmeans_fit": (tokens, centroids, metric, max_iters, *([1e-4, *kernel] if kernel else [])),
        "select_representatives": (cluster_ids, K, torch.tensor([1, 2], device=device), 3),
        "select_nearest": (cluster_ids, tokens[..., 0].float().contiguous(), K),
        "gather_representatives": (tokens, representatives, gate, gate, 1e-5)
        + (None, None, "layer", carried[0]),
        "cluster_propagate": (tokens, computed, *clusters, 0.3, "delta"),
        "cluster_propagate.tensor": (tokens, computed, *clusters, gamma),
        "taylor_update_": (factors, tokens, 2.0, 1),
        "taylor_update_.tensor": (factors, tokens, torch.tensor([0.5, 0.0], device=device)),
        "taylor_forecast": (factors, 2.0),
        "taylor_forecast.tensor": (factors, weights),
        "forecast_residual_": (tokens, factors, gate, 2.0),
        "forecast_residual_.tensor": (tokens, factors, None, weights),
        "propagate_residual_": (tokens, factors, computed, *clusters, gate, 0.3, 2.0, "delta"),
        "propagate_residual_.tensor": (tokens, factors, computed, *clusters, None, gamma, weights),
        "propagate_factors_": (factors, computed, *clusters, 0.3),
        "propagate_factors_.tensor": (factors, computed, *clusters, gamma),
        "carry_representatives_": (*carried, factors, representatives, gate, computed, 2.0),
        "carry_representatives_.tensor": (*carried, factors, representatives, None, None, weights),
        "collapsed_residual": (tokens, *modules, 2.0, *learnt, 0.3),
        "collapse_forecasts_": (
            torch.full((steps, B, N, D), float("nan"), device=device),
            modules[0],
            [torch.stack([gate, -gate] * 4)[:steps, :, 0], None],
            [torch.stack([weights, -weights] * 4)[:steps]] * 2,
        ),
        "lean_accumulate_": (factors.float(), tokens, torch.stack([gate[:, 0].float()] * 3)),
        "lean_output": (tokens, factors, numbers, *learnt, 0.3, *follows),
        "lean_output.tensor": (tokens, factors, by_channel, *learnt, gamma, *follows),
        "collapsed_residual.tensor": (tokens, *modules, [weights, weights * 2], *learnt, gamma),
    }[name]


def wrapper(name):
    return getattr(ops, name.partition(".")[0])


def equation(name):
    """The operator's reference, which returns what the operator leaves in its arguments."""
    return getattr(reference, name.partition(".")[0])


def on_tensors(function, args):
    """The arguments with every tensor of them, in lists too, changed by a function."""
    return tree_map(lambda leaf: function(leaf) if torch.is_tensor(leaf) else leaf, args)


def tensors_in(args):
    return [leaf for leaf in tree_leaves(args) if torch.is_tensor(leaf)]


def tensors_after(function, args):
    """What a function returns and what it leaves in its arguments."""
    args = on_tensors(torch.clone, args)
    return tensors_in((function(*args), args))


def assert_equal(ours, theirs):
    for our, their in zip(ours, theirs, strict=True):
        assert torch.equal(our, their)
