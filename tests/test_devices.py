"""Tensors of several devices, each in turn: refused by the kernels, and by the fakes."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_flatten_with_path, tree_unflatten

from clusca_ext.ops._dispatch import OPS, overload
from conftest import require_cuda
from op_samples import by_op, sample, wrapper


def label(name, path):
    """What a message calls an argument: x, or factors[1] where it is in a list."""
    place, *item = [key.idx for key in path]
    argument = overload(name)._schema.arguments[place].name
    # One check serves the weights of all operators, those of a list too.
    return f"{argument}[{item[0]}]" if item and argument != "weights" else argument


def mixed(name, home, away):
    """Calls with one tensor but the first away from home, and what a message calls that one."""
    leaves, structure = tree_flatten_with_path(sample(name, "cpu"))
    places = [i for i, (_, leaf) in enumerate(leaves) if torch.is_tensor(leaf)]
    for place in places[1:]:
        moved = [leaf for _, leaf in leaves]
        for i in places:
            like = moved[i]
            on = away if i == place else home
            moved[i] = torch.empty(like.shape, dtype=like.dtype, device=on)
        yield tree_unflatten(moved, structure), label(name, leaves[place][0])


def assert_refused(name, home, away):
    first = overload(name)._schema.arguments[0].name
    word = name.partition(".")[0]
    for args, argument in mixed(name, home, away):
        for function, error in [(wrapper(name), ValueError), (overload(name), RuntimeError)]:
            with pytest.raises(error) as caught:
                function(*args)
            assert caught.type is error
            said = (
                str(caught.value).replace("weights[0]", "weights").replace("weights[1]", "weights")
            )
            assert said == f"clusca::{word}: {argument} must be on {home} as {first} is, got {away}"


# A forecast by a number has one tensor only.
by_op_of_several = pytest.mark.parametrize("name", [op for op in OPS if op != "taylor_forecast"])


@by_op_of_several
@pytest.mark.parametrize("home, away", [("cpu", "meta"), ("meta", "cpu")])
def test_another_device_is_refused_where_no_kernel_runs(name, home, away):
    assert_refused(name, home, away)


@by_op_of_several
@pytest.mark.parametrize("home, away", [("cpu", "cuda:0"), ("cuda:0", "cpu")])
def test_another_device_is_refused_while_compiling(name, home, away):
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert_refused(name, home, away)


@by_op_of_several
@pytest.mark.parametrize("home, away", [("cpu", "cuda:0"), ("cuda:0", "cpu")])
def test_another_device_is_refused(name, home, away):
    require_cuda()
    assert_refused(name, home, away)


@by_op
def test_one_device_is_not_refused(name):
    wrapper(name)(*sample(name, "meta"))
