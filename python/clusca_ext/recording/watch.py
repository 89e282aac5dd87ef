"""The hooks of a recorder on one model."""

import time
from typing import Any

import torch
from torch import nn

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.cache import Cache
from clusca_ext.recording import limits
from clusca_ext.recording.driftlog import DriftLog, OutputHooks, kept_rows, planned_gates
from clusca_ext.recording.maplog import MapLog
from clusca_ext.recording.memorylog import cache_bytes
from clusca_ext.recording.steplog import StepLog, timestep_of


class Clock:
    """Time on a device, which is waited for.

    Attributes:
        cost: Seconds that recording has taken so far.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.cost = 0.0

    def wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def now(self) -> float:
        self.wait()
        return time.perf_counter()


class Watch:
    """Looks at every call of one model.

    Args:
        model: The model.
        description: Of its blocks; None: they are not known.
        log: Steps of all models of the run.
        clock: Of the device.
        samples: Whose maps are kept.
        compiled: The model is: nothing is hooked within it.

    Attributes:
        maps: Clusters and representatives.
        features: Drift of outputs; None: the model's blocks are not known.
        gates: Drift of gates; the same.
        memory: Bytes by kind, at the step that held most.
    """

    def __init__(
        self,
        model: nn.Module,
        description: ModelDescription | None,
        log: StepLog,
        clock: Clock,
        samples: int,
        compiled: bool,
    ) -> None:
        self._model, self._description = model, description
        self._log, self._clock, self._compiled = log, clock, compiled
        self.maps = MapLog(samples)
        count = 0 if description is None else len(description.blocks)
        self.features = DriftLog(count) if count else None
        self.gates = DriftLog(count) if count else None
        self.memory: dict[str, int] = {}
        self._outputs: OutputHooks | None = None
        if description is not None and self.features and Cache.of(model) is None and not compiled:
            self._outputs = OutputHooks(description, self.features.blocks)
        self._depth, self._cost_before = 0, 0.0
        before, after = torch.compiler.disable(self._before), torch.compiler.disable(self._after)
        self._handles: list[Any] = [
            model.register_forward_pre_hook(before, with_kwargs=True, prepend=True),
            model.register_forward_hook(after, with_kwargs=True, always_call=True),
        ]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        if self._outputs is not None:
            self._outputs.remove()

    # ---- hooks

    def _before(self, model: nn.Module, args: Args, kwargs: Kwargs) -> None:
        if model is not self._model:  # a copy
            return
        self._depth += 1
        if self._depth > 1:  # one sample of a batch whose samples decide for themselves
            return
        begun = self._clock.now()
        self._split = False
        if self._outputs is not None:
            self._outputs.begin(True, args, kwargs)
        self._start = self._clock.now()
        self._clock.cost += self._start - begun
        self._cost_before = self._clock.cost

    @torch.no_grad()
    def _after(self, model: nn.Module, args: Args, kwargs: Kwargs, output: Any) -> None:
        if model is not self._model or not self._depth:
            return
        ended = self._clock.now()
        self._depth -= 1
        if output is None:  # it raised
            return
        cache = Cache.of(self._model)
        self._begin_run(cache)
        if self._depth:
            self._split = True
            if cache is not None and cache.branch.sample == 0:
                self._look(cache, len(self._log.steps), args, kwargs)
        else:
            inside = self._clock.cost - self._cost_before
            self._ended(cache, ended - self._start - inside, args, kwargs)
        self._clock.cost += self._clock.now() - ended

    def _begin_run(self, cache: Cache | None) -> None:
        """Forget a run before this one, if the call that has ended was a new run's first."""
        if self._log.begins_run(self._model, cache):
            self._log.forget()
            self.maps.forget()
            for drift in (self.features, self.gates):
                if drift is not None:
                    drift.forget()

    def _ended(self, cache: Cache | None, seconds: float, args: Args, kwargs: Kwargs) -> None:
        """A call of the model has ended."""
        if cache is None:
            timestep = timestep_of(self._description, args, kwargs)
            new = self._log.untouched(self._model, timestep, seconds)
            if new and self._outputs is not None and self.features is not None:
                self.features.see(len(self._log.steps) - 1, self._outputs.seen)
            return
        self._log.cached(self._model, cache, seconds)
        if not self._split and cache.branch is cache.leader:
            self._look(cache, len(self._log.steps) - 1, args, kwargs)
        held = cache_bytes([cache])
        if sum(held.values()) >= sum(self.memory.values()):
            self.memory = held

    def _look(self, cache: Cache, step: int, args: Args, kwargs: Kwargs) -> None:
        """A step of the branch whose tokens are clustered has ended."""
        branch = cache.branch
        own = len(branch.kinds) - 1  # another model may have done the steps before
        self.maps.look(cache, step, branch.kinds[-1], args, kwargs)
        if self.features is not None:
            rows = kept_rows(branch, own, self.features.blocks)
            if rows:
                self.features.see(step, rows)
        if self.gates is not None:
            gates = planned_gates(branch, own)
            if gates:
                self.gates.see(step, gates)

    # ---- afterwards

    def missing(self) -> dict[str, str]:
        """What there is nothing of, and why."""
        why: dict[str, str] = {}
        cache = Cache.of(self._model)
        if self.maps.maps() is None:
            why["maps"] = "the run has no cache" if cache is None else self.maps.why
        elif self.maps.cut:
            why["further maps"] = f"the first {limits.MAPS} are kept"
        unknown = "clusca_ext does not know the model's blocks"
        if self.features is None or self.gates is None:
            return why | {"features": unknown, "gates": unknown}
        if self.features.drift() is None:
            why["features"] = self._no_features(cache)
        if self.gates.drift() is None:
            why["gates"] = (
                "the run has no cache: gates are seen where a cache plans them"
                if cache is None
                else "modulation was not planned, or of one step only"
            )
        return why

    def _no_features(self, cache: Cache | None) -> str:
        if cache is None:
            return "the model is compiled" if self._compiled else "it was called once"
        if cache.config.storage != "per_block":
            return "lean storage keeps sums over modules, not their outputs"
        return "less than two steps computed all modules"
