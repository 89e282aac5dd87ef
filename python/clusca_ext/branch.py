"""One branch of guidance: where its run stands and what it has cached.

A pipeline may call a model once a step for the prompt and once more without it. Each of these
branches has features of its own; clusters belong to the sample (``Cache.leader``).
"""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs
from clusca_ext.ahead import Ahead
from clusca_ext.correction import Clusters
from clusca_ext.executor import ModuleExecutor, Segment
from clusca_ext.forecast import Forecaster
from clusca_ext.installation import Key
from clusca_ext.plan import ModulationPlan
from clusca_ext.runs.counting import Runs
from clusca_ext.schedule import Decision, Schedule, Step
from clusca_ext.storage import DeviceConstants, Feature, autocast_dtype, weights_of


class Branch:
    """The state of one branch.

    Attributes:
        runs: Where its runs begin.
        plan: Its coming modulation.
        features: What it has cached of every module.
        ahead: What these forecast for coming steps.
        signature: What its inputs looked like.
        kinds: Of the run's steps: full, cached or partial.
        last_full: Index of the last full step.
        tokens: Tokens N of the run.
        clusters: Those of the run, where this branch makes them.
        decide: What the schedule decides in this run.
    """

    decide: Callable[[Step], Decision]

    def __init__(
        self,
        runs: Runs,
        plan: ModulationPlan,
        modules: Mapping[Key, ModuleExecutor],
        feature: Callable[[], Feature],
    ) -> None:
        self.runs = runs
        self._make_feature = feature
        self.exchange(plan, modules)
        self.signature: object = None
        self.kinds: list[str] = []
        self.last_full: int | None = None
        self.tokens = 0
        self.clusters: Clusters | None = None

    def exchange(self, plan: ModulationPlan, modules: Mapping[Key, ModuleExecutor]) -> None:
        """Go on with other modules, of which nothing is cached."""
        self.plan, self._modules = plan, modules
        self.features = {key: self._make_feature() for key in modules}
        self.ahead = Ahead()

    def activate(self) -> None:
        for key, module in self._modules.items():
            module.feature = self.features[key]

    def restart(self) -> None:
        """Forget the run and all features."""
        self.runs.restart()
        self.plan.begin(None)
        self.signature = None
        self._release()

    def begin(
        self, schedule: Schedule, like: Tensor, shapes: Sequence[tuple[int, int, int]] | None
    ) -> None:
        """A run begins; the blocks' streams [B, N, D] are like the latents (None: not known)."""
        self.decide = schedule.start(self.runs.num_steps)
        self.kinds = []
        self._make_room(like, shapes)

    def go_on(self, like: Tensor, shapes: Sequence[tuple[int, int, int]] | None) -> None:
        """The run goes on at its step with other inputs, for which nothing is cached."""
        self._release()
        self._make_room(like, shapes)

    def _release(self) -> None:
        self.ahead.release()
        for feature in self.features.values():
            feature.release()

    def _make_room(self, like: Tensor, shapes: Sequence[tuple[int, int, int]] | None) -> None:
        self.plan.begin(self.runs.timesteps)
        self.ahead.drop()
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

    def is_last(self, step: int) -> bool:
        """Whether the run ends with this step; False where that is not known."""
        return self.runs.num_steps == step + 1

    def cluster(self, step: int, tokens: Tensor, clusters: Clusters | None) -> None:
        """Fit clusters, where they are this branch's, to the tokens [B, N, D] of a full step."""
        self.tokens = tokens.shape[1]
        if clusters is not None and clusters is self.clusters and not self.is_last(step):
            clusters.fit(tokens)

    def look_ahead(
        self, step: int, segments: Sequence[Segment], forecaster: Forecaster, on: DeviceConstants
    ) -> None:
        """Give segments what they forecast for this cached step where that was known before."""
        self.ahead.use(step, segments, self.plan, self.decide, forecaster, on)

    def prepare(
        self, step: int, computed: frozenset[Key], forecaster: Forecaster, on: DeviceConstants
    ) -> None:
        """Give every module what this step needs: a place for its output, or its weights."""
        if computed:
            self.ahead.drop()
        for key, module in self._modules.items():
            module.computed, module.captures = key in computed, 0
            module.is_last = self.is_last(step)
            if module.computed:
                module.feature.expect(step, on)
        forecast = [module.feature for module in self._modules.values() if not module.computed]
        this = range(step, step + 1)
        for feature, weights in zip(
            forecast, weights_of(forecast, this, forecaster, on), strict=True
        ):
            feature.weights = weights.view(-1)
