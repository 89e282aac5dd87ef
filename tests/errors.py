"""How wrappers and operators refuse an argument."""

import pytest
import torch

from clusca_ext import ops


def shared(shape, strides):
    """What is said of an argument that is written in place and overlaps itself."""
    demand = "is written in place and no two of its elements may share memory"
    return f"{demand}, got shape {shape} with strides {strides}"


def assert_rejected(name, arguments, message, overload="default"):
    """The wrapper raises ValueError and the operator RuntimeError, with the same one sentence."""
    raw = getattr(getattr(torch.ops.clusca, name), overload)
    for function, error in [(getattr(ops, name), ValueError), (raw, RuntimeError)]:
        with pytest.raises(error) as caught:
            function(*arguments)
        assert caught.type is error
        assert str(caught.value) == f"clusca::{name}: {message}"
