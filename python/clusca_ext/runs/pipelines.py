"""Which pipeline calls a cached model: several may share one, and its cache."""

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor

Part = Callable[[Tensor], Tensor]


class Pipelines:
    """The pipelines that share a model's cache. They are not kept alive.

    Every run of a pipeline gives its scheduler new timesteps, so that the one whose scheduler was
    given some last is the one that calls. Those of one scheduler need not be told apart: what is
    asked of a pipeline is its scheduler's.
    """

    def __init__(self) -> None:
        self._members: list[_Member] = []
        self._caller: _Member | None = None

    def __contains__(self, pipeline: object) -> bool:
        return any(member.pipeline() is pipeline for member in self._members)

    def join(self, pipeline: object, part: Part) -> None:
        """Args: a pipeline, and which of its scheduler's timesteps are this model's."""
        alive = [member for member in self._members if member.pipeline() is not None]
        self._members = [*alive, _Member(pipeline, part)]
        self._caller = self._caller or self._members[0]

    def leave(self, pipeline: object) -> bool:
        """Whether others stay, when this one goes."""
        gone = (None, pipeline)
        self._members = [each for each in self._members if each.pipeline() not in gone]
        if self._caller not in self._members:
            self._caller = next(iter(self._members), None)
        return bool(self._members)

    def begins_run(self) -> bool:
        """Whether this call of the model is the first of a pipeline's call; asked once a call."""
        begun = [member for member in self._members if member.has_new_timesteps()]
        if len({id(member.scheduler()) for member in begun}) > 1:
            raise RuntimeError(
                "one pipeline must begin a run at a time, got new timesteps from several that "
                "share this cache since the model was called last: call the pipeline again"
            )
        if begun:
            self._caller = begun[0]
        return bool(begun)

    def caller(self) -> tuple[Any, Part]:
        """The pipeline that calls, and which of its timesteps are the model's."""
        pipeline = None if self._caller is None else self._caller.pipeline()
        if self._caller is None or pipeline is None:
            raise RuntimeError(
                "the pipeline this cache was enabled on is gone: call disable_cache, then "
                "enable_cache on the model itself"
            )
        return pipeline, self._caller.part

    def only(self) -> Any:
        """The pipeline, if there is one only: then its guidance is that of every call."""
        pipelines = [member.pipeline() for member in self._members]
        return pipelines[0] if len(pipelines) == 1 else None


class _Member:
    def __init__(self, pipeline: Any, part: Part) -> None:
        self.pipeline, self.part = weakref.ref(pipeline), part
        self._timesteps: Tensor | None = getattr(self.scheduler(), "timesteps", None)

    def scheduler(self) -> Any:
        return getattr(self.pipeline(), "scheduler", None)

    def has_new_timesteps(self) -> bool:
        """Since this was asked last."""
        before = self._timesteps
        self._timesteps = getattr(self.scheduler(), "timesteps", None)
        return self._timesteps is not None and self._timesteps is not before
