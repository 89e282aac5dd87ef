"""The cache: the one stateful composition of schedule, forecaster, corrector and storage.

Two hooks on the model frame every step. The first asks the schedule; a full step then runs the
untouched model while hooks on its modules keep what these return, and at its end the tokens are
clustered; on a cached step the executors stand in for the blocks. The hooks run outside compiled
code, and all that is counted is counted there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.beginning import Beginning, Rows
from clusca_ext.branch import Branch
from clusca_ext.branches import Branches
from clusca_ext.config import ClusCaConfig
from clusca_ext.correction import Choices, NoCorrection
from clusca_ext.executor import BlockExecutor, Correction, ModuleExecutor
from clusca_ext.fitting import Fitting, require_done
from clusca_ext.graphs.forward import Forward
from clusca_ext.graphs.steps import CachedSteps
from clusca_ext.installation import Key
from clusca_ext.runs.callers import Caller
from clusca_ext.runs.counting import Runs
from clusca_ext.runs.inputs import signature_of
from clusca_ext.runs.pipelines import Pipelines
from clusca_ext.samples import BySample
from clusca_ext.schedule import Decision
from clusca_ext.storage import DeviceConstants
from clusca_ext.timing import StepTimes

_KEY = "_clusca_cache"  # of a model's __dict__: no submodule, nothing of its state


class Cache:
    """The state of a cache on one model.

    Args:
        describe: Describes the model's blocks; asked again at every run.
        config: What to do.
        runs: Makes what tells runs and steps, for each branch.
        caller: Tells branches.
        rows: Says how batch rows pair up under guidance.
        seeds: Sample seeds; None: ``config.seed`` for every row.
        process_group: Ranks that must decide alike, where a schedule decides by what it sees.
    """

    times: StepTimes
    _constants: DeviceConstants

    def __init__(
        self,
        describe: Callable[[], ModelDescription],
        config: ClusCaConfig,
        runs: Callable[[], Runs],
        caller: Caller,
        rows: Rows = lambda args, kwargs: (),
        seeds: Sequence[int] | None = None,
        process_group: Any = None,
    ) -> None:
        self.config = config
        self._caller, self._rows = caller, rows
        self.correction = Correction.of(config.corrector)
        self._beginning = Beginning(config, rows, seeds, self.correction)
        self._fitting = fitting = Fitting(describe, config, self.correction, process_group)
        self._branches = Branches(lambda: Branch(runs(), *fitting.parts()), caller)
        self.graphs = CachedSteps(config.cuda_graph)
        self._samples = BySample(self._fitting.probe is not None, len(seeds or (0,)))
        self._handles: list[Any] = []
        self._running = False  # between a step's hooks

    @property
    def description(self) -> ModelDescription:
        """What is cached of the model."""
        return self._fitting.description

    @property
    def blocks(self) -> list[BlockExecutor]:
        return self._fitting.installed.blocks

    @property
    def modules(self) -> dict[Key, ModuleExecutor]:
        return self._fitting.installed.modules

    @property
    def pipelines(self) -> Pipelines | None:
        """Those that share this cache; None: it is a bare model's."""
        return self._caller.pipelines

    @property
    def branches(self) -> dict[str, Branch]:
        return self._branches.by_name

    @property
    def branch(self) -> Branch:
        return self._branches.calling

    @property
    def leader(self) -> Branch:
        return self._branches.leader

    @property
    def by_sample(self) -> list[Branch]:
        return self._branches.by_sample

    @property
    def clusters(self) -> Choices | None:
        """What corrects the branch that called last: the sample's, whose steps it counts, or its
        own."""
        corrector, leader = self.config.corrector, self.leader
        shared = not isinstance(corrector, NoCorrection) and corrector.share_cfg
        shared = shared and leader.runs.first == self.branch.runs.first
        return (leader if shared else self.branch).clusters

    # ---- on and off

    @staticmethod
    def of(model: nn.Module) -> "Cache | None":
        found = vars(model).get(_KEY)
        return found if isinstance(found, Cache) and found.description.model is model else None

    def __deepcopy__(self, memo: object) -> "Cache":
        """A copied model is not cached: the hooks it was given pass it through."""
        return self

    def install(self) -> None:
        model = self.description.model
        vars(model)[_KEY] = self
        self._caller.install()
        register = self._handles.append
        before, after = torch.compiler.disable(self._before), torch.compiler.disable(self._after)
        register(model.register_forward_pre_hook(before, with_kwargs=True, prepend=True))
        register(model.register_forward_hook(after, with_kwargs=True, always_call=True))
        self._fitting.install()
        self._forward = Forward(model, self.graphs, self._samples)
        self._forward.install()

    def remove(self) -> None:
        """Restore the model and give all memory back; a second time does nothing."""
        model = self.description.model
        if self.of(model) is self:
            del vars(model)[_KEY]
            self._caller.remove()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._fitting.remove()
        self._forward.remove()
        self.restart()

    def restart(self) -> None:
        """Forget the run: the next call of the model begins a new one."""
        self._branches.restart()
        self._fitting.installed.end_step()
        self._fitting.installed.take_source()
        self.graphs.release()

    def end_run(self) -> None:
        """The next call of the model begins a run, with the memory there is."""
        self._branches.end_run()

    # ---- a step

    @torch.no_grad()
    def _before(self, model: nn.Module, args: Args, kwargs: Kwargs) -> None:
        samples = self._samples
        if samples.looks or not self._fitting.is_step(model, args, kwargs):
            return
        if samples.sample is None:
            if self._running:  # what broke the last step off went past its end: KeyboardInterrupt
                self.restart()
            self._running = True
            if self._branches.tell(args, kwargs):
                samples.begin_run()
            if samples.split(self.description, args, kwargs, self._rows, self._decide):
                return
            self._decide(args, kwargs)
        else:
            self._branches.call(samples.sample, samples.count)
            self.times.start()
        self._fitting.begin(self.branch, self._branches.seen, args, kwargs, self._settle)

    @torch.no_grad()
    def _decide(self, args: Args, kwargs: Kwargs) -> bool:
        """A step begins; whether its schedule has decided it."""
        branch = self._branches.call(self._samples.sample, self._samples.count)
        self._begin(branch, args, kwargs)
        return self._fitting.decide(branch, self._branches.seen, args, kwargs)

    def _begin(self, branch: Branch, args: Args, kwargs: Kwargs) -> None:
        """A step of a branch begins, and a run, where it is the first."""
        signature = signature_of(args, kwargs)
        changed = signature != branch.signature
        if changed and branch.signature is not None:
            self.graphs.release()  # they read what is given back here
        if changed and (branch.signature is None or not branch.runs.goes_on(args, kwargs)):
            branch.restart()
        branch.signature = signature
        first = branch.runs.is_new(args, kwargs)
        if self._branches.begin(first):
            if self._fitting.renew():
                self.graphs.release()
                self._branches.exchange(self._fitting.parts)
            self.graphs.begin_run()
        if first or changed:  # as where guidance, and its half of the batch, ends before the run
            self._constants = self._beginning.begin(branch, self.description, args, kwargs, first)
        if first and branch is self.leader and not branch.sample:
            self.times = StepTimes(self._constants.device)
        self.times.start()

    def _settle(self, branch: Branch, args: Args, kwargs: Kwargs, decision: Decision) -> None:
        """The step that has begun is decided."""
        computed, step = branch.computed(decision), len(branch.kinds)
        branch.expect(step, computed, self.clusters, self._constants)
        kind = "full" if len(computed) == len(self.modules) else "partial" if computed else "cached"
        why = self._fitting.settle(full=kind == "full")
        if kind == "full":
            branch.plan.look(step, args, kwargs)
        else:
            branch.storage.use(step, self.clusters, args, kwargs, self._constants)
            self.graphs.expect(self._fitting.installed, kind, self._constants.device, why)
        branch.kinds.append(kind)

    @torch.no_grad()
    def _after(self, model: nn.Module, args: Args, kwargs: Kwargs, output: Any) -> None:
        if self._samples.looks or not self._fitting.is_step(model, args, kwargs):
            return
        self._running = self._samples.sample is not None
        if self._samples.end() and output is not None:
            return
        self.graphs.finish()
        decided, computed = self._fitting.finish()
        if output is None:  # the step raised: what it left behind is not to be used
            return self.restart()
        branch = self.branch
        try:
            require_done(decided, computed)
            step, kind = len(branch.kinds) - 1, branch.kinds[-1]
            branch.storage.finish(step, frozenset(computed))
            if kind == "full":
                branch.last_full = step
                branch.cluster(step, self._fitting.installed.take_source(), self.clusters)
        except BaseException:
            self.restart()
            raise
        self.times.stop(kind)
