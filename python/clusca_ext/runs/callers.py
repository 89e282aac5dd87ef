"""Which branch of guidance calls: by the cache context, else as a teller says."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

from torch import nn

from clusca_ext.adapters.description import Args, Kwargs
from clusca_ext.runs.context import Context
from clusca_ext.runs.pipelines import Pipelines


class Teller(Protocol):
    """Tells the branches of calls that no cache context names."""

    def name(self, args: Args, kwargs: Kwargs) -> str:
        """The branch of the call that begins now; asked once a call."""

    def restart(self) -> None:
        """The next call is the first of a run."""


class Caller:
    """Tells which branch a call of the model belongs to.

    Args:
        model: The model.
        teller: Asked where there is no cache context around a call.
        context: Set while there is one.
        pipelines: Those that call it, if any.
    """

    def __init__(
        self,
        model: nn.Module,
        teller: Teller,
        context: Context,
        pipelines: Pipelines | None = None,
    ) -> None:
        self._model, self._teller, self.pipelines = model, teller, pipelines
        self._context = context
        self._own: Any = None  # the model's cache_context, where it is not of its class

    def install(self) -> None:
        """Where the model has no cache_context of its own, it has one while it is cached."""
        self._own = vars(self._model).get("cache_context")
        original = getattr(self._model, "cache_context", None)

        @contextmanager
        def cache_context(name: str, *args: Any, **kwargs: Any) -> Iterator[None]:
            step = kwargs.get("step_index"), kwargs.get("num_inference_steps")
            inner = nullcontext() if original is None else original(name, *args, **kwargs)
            with self._context.said(name, *step), inner:
                yield

        vars(self._model)["cache_context"] = cache_context

    def remove(self) -> None:
        vars(self._model).pop("cache_context", None)
        if self._own is not None:
            vars(self._model)["cache_context"] = self._own

    def restart(self) -> None:
        self._teller.restart()

    def begins_run(self) -> bool:
        """Whether a pipeline's call begins with this one, as far as its scheduler says."""
        begins = self.pipelines is not None and self.pipelines.begins_run()
        if begins:
            self._teller.restart()
        return begins

    def name(self, args: Args, kwargs: Kwargs) -> str:
        """The branch of the call that begins now; asked once a call."""
        if self._context.name is not None:
            return self._context.name
        return self._teller.name(args, kwargs)


class ByFunction:
    """The user tells."""

    def __init__(self, branch: Callable[..., str]) -> None:
        self._branch = branch

    def name(self, args: Args, kwargs: Kwargs) -> str:
        name = self._branch(*args, **kwargs)
        if not isinstance(name, str):
            raise ValueError(f"branch must return the name of a branch, got {name!r}")
        return name

    def restart(self) -> None:
        pass


class ByScheduler:
    """By the place of a call within one step of a pipeline's scheduler, where that counts steps."""

    def __init__(self, pipelines: Pipelines, otherwise: Teller) -> None:
        self._pipelines, self._otherwise = pipelines, otherwise
        self._calls = 0
        self.restart()

    def restart(self) -> None:
        self._step: tuple[object, object] = (None, None)
        self._otherwise.restart()

    def name(self, args: Args, kwargs: Kwargs) -> str:
        scheduler: Any = getattr(self._pipelines.caller()[0], "scheduler", None)
        if not hasattr(scheduler, "step_index"):
            return self._otherwise.name(args, kwargs)
        _require_a_step_of(scheduler)
        timesteps, index = self._step
        if timesteps is not scheduler.timesteps or index != scheduler.step_index:
            self._step, self._calls = (scheduler.timesteps, scheduler.step_index), 0
        self._calls += 1
        return f"call {self._calls}"


def _require_a_step_of(scheduler: Any) -> None:
    """Or else all calls of somebody else would be branches of one step."""
    index = scheduler.step_index
    begun = getattr(scheduler, "num_inference_steps", None) is not None
    if not begun or (index is not None and index >= len(scheduler.timesteps)):
        raise ValueError(
            "the scheduler of the pipeline that calls must be at a step, got one that "
            f"{'has ended its run' if begun else 'has begun no run'}: call enable_cache, with the "
            "same config, on every pipeline that uses the model"
        )
