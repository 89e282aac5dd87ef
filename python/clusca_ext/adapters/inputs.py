"""Finds what a model is given, by position or by name."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from clusca_ext.adapters.description import Args, Kwargs


def named_input(model: nn.Module, which: int | str) -> Callable[[Args, Kwargs], Any]:
    """Finds an input of the model's call, given by position or name; None where it is absent."""
    # Of the class: what wraps a model's own forward may take *args.
    names = list(inspect.signature(type(model).forward).parameters)[1:]
    if isinstance(which, str):
        position, name = (names.index(which) if which in names else None), which
    else:
        position, name = which, (names[which] if which < len(names) else "")

    def find(args: Args, kwargs: Kwargs) -> Any:
        if position is not None and position < len(args):
            return args[position]
        return kwargs.get(name)

    return find
