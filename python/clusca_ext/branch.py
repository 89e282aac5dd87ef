"""One branch of guidance: where its run stands and what it has cached.

A pipeline may call a model once a step for the prompt and once more without it. Each of these
branches has features of its own; clusters belong to the sample (``Cache.leader``).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.changes import Seen
from clusca_ext.correction import Choices
from clusca_ext.executor import ModuleExecutor
from clusca_ext.installation import Key
from clusca_ext.plan import ModulationPlan
from clusca_ext.runs.counting import Runs
from clusca_ext.schedule import Adapting, Decision, Schedule, Step
from clusca_ext.storage import DeviceConstants, Kept
from clusca_ext.storage.run import Run

Shapes = Sequence[tuple[int, int, int]] | None


class Storage(Protocol):
    """Where a branch's cached features lie.

    Attributes:
        features: What every module is given.
        modules: All modules' executors.
        tokens: Tokens N of a sample, as far as what is kept says; 0: not known.
        words: What it is, for a summary.
    """

    @property
    def features(self) -> Mapping[Key, Kept]: ...

    @property
    def modules(self) -> Mapping[Key, ModuleExecutor]: ...

    @property
    def tokens(self) -> int: ...

    @property
    def words(self) -> str: ...

    def begin(self, run: Run, on: DeviceConstants) -> None:
        """Forget the past; make room where shapes are known."""

    def expect(
        self, step: int, computed: frozenset[Key], clusters: Choices | None, on: DeviceConstants
    ) -> None:
        """A step begins: give every module what it needs."""

    def use(
        self,
        step: int,
        clusters: Choices | None,
        args: Args,
        kwargs: Kwargs,
        on: DeviceConstants,
    ) -> None:
        """A step begins that forecasts some modules: plan its modulation, give what it reads."""

    def finish(self, step: int, computed: frozenset[Key]) -> None:
        """A step has ended that computed some modules."""

    def unseen(self) -> frozenset[Key]:
        """Modules that have never been computed."""

    def release(self) -> None:
        """Forget all, and give the memory back."""

    def bytes(self) -> int: ...


class Branch:
    """The state of one branch.

    Attributes:
        runs: Where its runs begin.
        plan: Its coming modulation.
        storage: What it has cached.
        signature: What its inputs looked like.
        kinds: Of the run's steps: full, cached or partial.
        last_full: Index of the last full step.
        tokens: Tokens N of the run.
        clusters: What corrects the run, where this branch looks at its tokens.
        decide: What the schedule decides in this run.
        seen: What it was shown in this run.
        decision: What the step is that has begun; None: open until its signal is seen.
        sample: Of which sample it is, where these are called one by one; None: of all.
    """

    decide: Callable[[Step], Decision | None]

    def __init__(self, runs: Runs, plan: ModulationPlan, storage: Storage) -> None:
        self.runs = runs
        self.exchange(plan, storage)
        self.signature: object = None
        self.kinds: list[str] = []
        self.last_full: int | None = None
        self.tokens = 0
        self.clusters: Choices | None = None
        self.seen = Seen()
        self.decision: Decision | None = None
        self.sample: int | None = None

    def exchange(self, plan: ModulationPlan, storage: Storage) -> None:
        """Go on with other modules, of which nothing is cached."""
        self.plan, self.storage = plan, storage

    def activate(self) -> None:
        for key, module in self.storage.modules.items():
            module.feature = self.storage.features[key]

    def restart(self) -> None:
        """Forget the run and all that is cached."""
        self.runs.restart()
        self.plan.begin(None)
        self.signature = self.clusters = None
        self.release()

    def release(self) -> None:
        """Give back what is cached, and what was kept to measure changes against."""
        self.storage.release()
        self.seen = Seen()

    def begin(self, schedule: Schedule) -> None:
        """A run begins."""
        self.decide = schedule.start(self.runs.num_steps)
        self.kinds, self.seen = [], Seen()

    def make_room(
        self,
        description: ModelDescription,
        like: Tensor,
        shapes: Shapes,
        args: Args,
        kwargs: Kwargs,
        on: DeviceConstants,
    ) -> None:
        """Nothing is cached for these inputs; streams [B, N, D] are like the latents."""
        self.plan.begin(self.runs.timesteps)
        self.last_full, self.seen = None, Seen()
        about = self.runs.num_steps, len(self.kinds), like, shapes, args, kwargs
        self.storage.begin(Run(description, self.plan, self.decide, *about), on)

    def next_step(self, args: Args, kwargs: Kwargs) -> Step:
        """What the schedule may look at."""
        of = len(self.kinds), self.runs.num_steps, self.last_full
        return Step(*of, args, kwargs, frozenset(self.storage.modules), self.runs.timesteps)

    @property
    def adapting(self) -> Adapting:
        """What decides in this run, where it asks for a signal.

        Raises:
            ValueError: It has no method ``see``.
        """
        found: Any = self.decide
        if not callable(getattr(found, "see", None)):
            raise ValueError(
                f"a schedule that names a signal must start what has a method see, got {found!r}"
            )
        adapting: Adapting = found
        return adapting

    def computed(self, decision: Decision) -> frozenset[Key]:
        """The modules a step computes: those decided, and those that have never been."""
        modules = self.storage.modules
        if decision is True:
            return frozenset(modules)
        unseen = self.storage.unseen()
        if decision is False:
            return unseen
        if not isinstance(decision, frozenset) or not decision <= set(modules):
            blocks = 1 + max(index for index, _ in modules)
            raise ValueError(
                "a schedule must decide True, False or a frozenset of (block, module) of "
                f"{blocks} blocks and their modules, got {decision!r}"
            )
        masked = decision if len(decision | unseen) < len(modules) else ()
        for block, name in masked:
            module = modules[block, name]
            if module.description.call is None and not module.joint:
                why = "what other modules return, with text"
                if module.description.computable:
                    why = "its block's forward, for which the schedule's method masked must name it"
                raise ValueError(
                    f"a mask cannot compute module {name!r} of block {block}: it needs {why}"
                )
        return decision | unseen

    def is_last(self, step: int) -> bool:
        """Whether the run ends with this step; False where that is not known."""
        return self.runs.num_steps == step + 1

    def cluster(self, step: int, tokens: Tensor | None, clusters: Choices | None) -> None:
        """Let those clusters that are this branch's see the tokens [B, N, D] of a full step."""
        if tokens is None:
            return
        self.tokens = tokens.shape[1]
        if clusters is not None and clusters is self.clusters and not self.is_last(step):
            clusters.follow(step, tokens)

    def expect(
        self, step: int, computed: frozenset[Key], clusters: Choices | None, on: DeviceConstants
    ) -> None:
        """A step begins that computes these modules."""
        for key, module in self.storage.modules.items():
            module.computed, module.captures = key in computed, 0
            module.is_last = self.is_last(step)
        self.storage.expect(step, computed, clusters, on)
