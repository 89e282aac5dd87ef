"""The time line of a run: which step each call of a model belongs to, and how long it took."""

from typing import Any

from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.cache import Cache
from clusca_ext.recording import limits
from clusca_ext.recording.recording import Step


class StepLog:
    """Steps of the last run, of all the models of a pipeline, in the order of their calls.

    Args:
        scheduler: Of the pipeline, whose new timesteps begin a run; None: it has none.
    """

    def __init__(self, scheduler: Any = None) -> None:
        self._scheduler = scheduler
        self._timesteps: Tensor | None = None
        self.steps: list[Step] = []
        self._runs: dict[int, object] = {}  # of each model's cache: what stays the same in a run
        self._counts: dict[int, int] = {}
        self._at: dict[int, float] = {}  # of each model without a cache: its last timestep

    def begins_run(self, model: object, cache: Cache | None) -> bool:
        """Whether a call of the model that has just ended was the first of a new run."""
        if cache is not None:
            before = self._runs.get(id(model))
            self._runs[id(model)] = cache.times
            return id(model) in self._counts and before is not cache.times
        timesteps = getattr(self._scheduler, "timesteps", None)
        before, self._timesteps = self._timesteps, timesteps
        return before is not None and before is not timesteps

    def forget(self) -> None:
        """A new run has begun."""
        self.steps.clear()
        self._counts.clear()
        self._at.clear()

    def cached(self, model: object, cache: Cache, seconds: float) -> bool:
        """A call of a model with a cache has ended; whether it was a new step's first."""
        count = max((len(branch.kinds) for branch in cache.branches.values()), default=0)
        if count == self._counts.get(id(model), 0) and self.steps:
            return self._again(seconds)
        self._counts[id(model)] = count
        by_sample = tuple(branch.kinds[-1] for branch in cache.by_sample)
        kinds = set(by_sample) or {cache.branch.kinds[-1]}
        kind = kinds.pop() if len(kinds) == 1 else "partial"
        self._add(Step(kind, seconds, by_sample))
        return True

    def untouched(self, model: object, timestep: float | None, seconds: float) -> bool:
        """The same for a model without: calls at one timestep are of one step."""
        if timestep is not None and self._at.get(id(model)) == timestep:
            return self._again(seconds)
        if timestep is not None:
            self._at[id(model)] = timestep
        self._add(Step("full", seconds))
        return True

    def _again(self, seconds: float) -> bool:
        """Another branch of guidance at the same step."""
        last = self.steps[-1]
        self.steps[-1] = Step(last.kind, last.seconds + seconds, last.by_sample)
        return False

    def _add(self, step: Step) -> None:
        if len(self.steps) == limits.STEPS:
            raise ValueError(f"a run that is recorded must have at most {limits.STEPS} steps")
        self.steps.append(step)


def timestep_of(description: ModelDescription | None, args: Args, kwargs: Kwargs) -> float | None:
    """The timestep of a call, read on the host; None: the model has none that is known."""
    if description is None or description.timestep is None:
        return None
    value = description.timestep(args, kwargs)
    if isinstance(value, Tensor):
        return float(value.reshape(-1)[0]) if value.numel() else None
    return None if value is None else float(value)
