"""One branch of guidance: where its run stands and what it has cached; and which one calls.

A pipeline may call a model once a step for the prompt and once more without it. Each of these
branches has features of its own; clusters belong to the sample (``Cache.leader``).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn

from clusca_ext.adapters.description import Args, Kwargs
from clusca_ext.correction import Clusters
from clusca_ext.executor import ModuleExecutor
from clusca_ext.forecast import Forecaster
from clusca_ext.installation import Key
from clusca_ext.pipelines import Pipelines
from clusca_ext.plan import ModulationPlan
from clusca_ext.runs import Runs
from clusca_ext.schedule import Decision, Schedule, Step
from clusca_ext.storage import DeviceConstants, Feature, autocast_dtype


class Branch:
    """The state of one branch.

    Attributes:
        runs: Where its runs begin.
        plan: Its coming modulation.
        features: What it has cached of every module.
        signature: What its inputs looked like.
        kinds: Of the run's steps: full, cached or partial.
        last_full: Index of the last full step.
        tokens: Tokens N of the run.
        clusters: Those of the run, where this branch makes them.
        decide: What the schedule decides in this run.
    """

    decide: Callable[[Step], Decision]

    def __init__(
        self, runs: Runs, plan: ModulationPlan, modules: Mapping[Key, ModuleExecutor], order: int
    ) -> None:
        self.runs, self.plan, self._modules = runs, plan, modules
        self.features = {key: Feature(order) for key in modules}
        self.signature: object = None
        self.kinds: list[str] = []
        self.last_full: int | None = None
        self.tokens = 0
        self.clusters: Clusters | None = None

    def exchange(self, plan: ModulationPlan, modules: Mapping[Key, ModuleExecutor]) -> None:
        """Go on with other modules, of which nothing is cached."""
        order = next(iter(self.features.values())).order
        self.plan, self._modules = plan, modules
        self.features = {key: Feature(order) for key in modules}

    def activate(self) -> None:
        for key, module in self._modules.items():
            module.feature = self.features[key]

    def restart(self) -> None:
        """Forget the run and all features."""
        self.runs.restart()
        self.plan.begin(None)
        self.signature = None
        for feature in self.features.values():
            feature.release()

    def begin(
        self, schedule: Schedule, like: Tensor, shapes: Sequence[tuple[int, int, int]] | None
    ) -> None:
        """A run begins; the blocks' streams [B, N, D] are like the latents (None: not known)."""
        self.decide = schedule.start(self.runs.num_steps)
        self.plan.begin(self.runs.timesteps)
        self.kinds = []
        self.last_full = None
        for (block, _), feature in self.features.items():
            feature.restart()
            feature.dtype = autocast_dtype(like.device)
            if shapes is not None and feature.factors is None:
                feature.allocate(like, shapes[block])

    def computed(self, args: Args, kwargs: Kwargs) -> frozenset[Key]:
        """The modules this step computes: those decided, and those that have never been."""
        step = Step(len(self.kinds), self.runs.num_steps, self.last_full, args, kwargs)
        decision = self.decide(step)
        if decision is True:
            return frozenset(self.features)
        unseen = {key for key, feature in self.features.items() if not feature.clock.count}
        if decision is False:
            return frozenset(unseen)
        if not isinstance(decision, frozenset) or not decision <= set(self.features):
            blocks = 1 + max(index for index, _ in self.features)
            raise ValueError(
                "a schedule must decide True, False or a frozenset of (block, module) of "
                f"{blocks} blocks and their modules, got {decision!r}"
            )
        masked = decision if len(decision | unseen) < len(self.features) else ()
        for block, name in masked:
            if self._modules[block, name].description.call is None:
                raise ValueError(
                    f"a mask cannot compute module {name!r} of block {block}: it needs more than "
                    "the stream that cached steps keep"
                )
        return decision | unseen

    def prepare(
        self, step: int, computed: frozenset[Key], forecaster: Forecaster, on: DeviceConstants
    ) -> None:
        """Give every module what this step needs: the rates of its update, or its weights."""
        for key, module in self._modules.items():
            module.computed, module.captures = key in computed, 0
            feature, clock = module.feature, module.feature.clock
            if module.computed:
                feature.rates = on.of(feature.known_rates(step))
            else:
                assert clock.last is not None
                feature.weights = on.of(forecaster.weights(step - clock.last, clock.spacing))


class Caller:
    """Tells which branch a call of the model belongs to.

    By the cache context a diffusers pipeline sets around it; where there is none, by its place
    among the calls of one step of the pipeline's scheduler.

    Args:
        model: The model.
        pipelines: Those that call it, if any.
    """

    def __init__(self, model: nn.Module, pipelines: Pipelines | None = None) -> None:
        self._model, self.pipelines = model, pipelines
        self._context: str | None = None
        self._step: tuple[object, object] = (None, None)
        self._calls = 0
        self._own: Any = None  # the model's cache_context, where it is not of its class

    def install(self) -> None:
        """Where the model has no cache_context of its own, it has one while it is cached."""
        self._own = vars(self._model).get("cache_context")
        original = getattr(self._model, "cache_context", nullcontext)

        @contextmanager
        def cache_context(name: str, *args: Any, **kwargs: Any) -> Iterator[None]:
            before, self._context = self._context, name
            try:
                with original(name, *args, **kwargs):
                    yield
            finally:
                self._context = before

        vars(self._model)["cache_context"] = cache_context

    def remove(self) -> None:
        vars(self._model).pop("cache_context", None)
        if self._own is not None:
            vars(self._model)["cache_context"] = self._own

    def restart(self) -> None:
        self._step = (None, None)

    def begins_run(self) -> bool:
        """Whether a pipeline's call begins with this one, as far as its scheduler says."""
        return self.pipelines is not None and self.pipelines.begins_run()

    def name(self) -> str:
        """The branch of the call that begins now; asked once a call."""
        if self._context is not None:
            return self._context
        pipeline = None if self.pipelines is None else self.pipelines.caller()[0]
        scheduler: Any = getattr(pipeline, "scheduler", None)
        if not hasattr(scheduler, "step_index"):
            return "call 1"
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
