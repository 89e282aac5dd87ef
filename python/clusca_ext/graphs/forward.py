"""Stands before a model's forward while it is cached: of a replayed step none of it runs."""

import copy
import functools
from typing import Any

import torch
from torch import nn

from clusca_ext.executor.stand_in import forwards_of
from clusca_ext.graphs.steps import CachedSteps
from clusca_ext.samples import BySample


class Forward:
    """Called in place of a model's forward. Full steps and eager ones pass through.

    An object, not a function, so that a copied model has a forward of its own: without graphs.

    Args:
        model: The model.
        steps: Its graphs.
        samples: Whose calls it is split into, if it is.
    """

    def __init__(self, model: nn.Module, steps: CachedSteps, samples: BySample) -> None:
        self._model = model
        self._had_its_own = "forward" in vars(model)
        self.__wrapped__: Any = model.forward  # as inspect.signature looks for it
        entries = steps.take, steps.begin, steps.end, steps.abandon
        self._split = torch.compiler.disable(samples.run)
        self._take, self._begin, self._end, self._abandon = map(torch.compiler.disable, entries)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.__wrapped__, memo)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        joined = self._split(self._model)
        if joined is not None:
            return joined
        turn = self._take(args, kwargs)
        if turn is None:
            return self.__wrapped__(*args, **kwargs)
        if turn.replayed:
            return turn.output
        output = self.__wrapped__(*args, **kwargs)
        try:
            again, named = self._begin(turn)
            self._end(turn, self.__wrapped__(*again, **named), output)
        except Exception as error:
            self._abandon(turn, error)
        except BaseException:
            self._abandon(turn, None)
            raise
        return output

    def install(self) -> None:
        _step_over()
        vars(self._model)["forward"] = self

    def remove(self) -> None:
        """Restore the model's, wherever wrappers that came later keep this one."""
        for owner, name in forwards_of(self._model):
            if vars(owner).get(name) is not self:
                continue
            if owner is self._model and name == "forward" and not self._had_its_own:
                delattr(owner, name)
            else:
                setattr(owner, name, self.__wrapped__)


@functools.cache
def _step_over() -> None:
    """Dynamo compiles what it calls, as it would without it. Importing Dynamo takes seconds."""
    stepped_over = torch.compiler.disable(Forward.__call__, recursive=False)
    Forward.__call__ = stepped_over  # type: ignore[method-assign]
