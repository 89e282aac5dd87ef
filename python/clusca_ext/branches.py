"""The branches of guidance of a cache, and which of them calls."""

from collections.abc import Callable

from clusca_ext.adapters.description import Args, Kwargs
from clusca_ext.branch import Branch, Storage
from clusca_ext.changes import Seen
from clusca_ext.plan import ModulationPlan
from clusca_ext.runs.callers import Caller


class Branches:
    """The branches of a cache.

    A pipeline's next run may name them otherwise: then they are taken again in the order in which
    they call, with the memory they have. Of a bare model a run begins branch by branch.

    Args:
        make: Makes one.
        caller: Tells which one calls.

    Attributes:
        by_name: Those of the run, in the order in which they called first; of a bare model those of
            the run before, too, until a branch calls for the second time.
        calling: The one that called last.
    """

    def __init__(self, make: Callable[[], Branch], caller: Caller) -> None:
        self._make, self._caller = make, caller
        self.by_name: dict[str, Branch] = {}
        self.calling = make()
        self._name, self._sample, self._count = "", "", 0
        self._run = set[str]()  # names of those that have begun the run
        self._idle = [self.calling]  # of the run before, until one calls again

    @property
    def leader(self) -> Branch:
        """The branch whose tokens are clustered: the conditional one, or the first to call; where
        samples call one by one, the sample's that called last."""
        return next(iter(self.leaders_of(self._sample)), self.calling)

    def leaders_of(self, sample: str = "") -> list[Branch]:
        """A sample's branches of the run, the one first whose tokens are clustered."""
        own = {
            name: each
            for name, each in self.by_name.items()
            if f", sample {each.sample}" == sample or (not sample and each.sample is None)
            if name in self._run
        }
        first = own.pop(f"cond{sample}", None)
        return [*([] if first is None else [first]), *own.values()]

    @property
    def by_sample(self) -> list[Branch]:
        """Each sample's leader, where samples call one by one; else empty."""
        found = (self.leaders_of(f", sample {each}") for each in range(self._count))
        return [leaders[0] for leaders in found if leaders]  # none yet, after a reset

    @property
    def every(self) -> list[Branch]:
        """All there are, those too that have not called in this run."""
        found = (self.calling, *self.by_name.values(), *self._idle)
        return list({id(branch): branch for branch in found}.values())

    @property
    def seen(self) -> list[Seen]:
        """What those of the run have been shown."""
        return [branch.seen for name, branch in self.by_name.items() if name in self._run]

    def tell(self, args: Args, kwargs: Kwargs) -> bool:
        """A call of the model begins: whose is it? Returns whether it begins a pipeline's run."""
        begins = self._caller.begins_run()
        if begins:
            self._idle = [*self.by_name.values()] or self._idle
            self._clear()
        self._name = self._caller.name(args, kwargs)
        return begins

    def call(self, sample: int | None, count: int) -> Branch:
        """The branch of the call that has been told.

        Args:
            sample: Which of its samples is called for; None: all at once.
            count: How many samples call one by one; 0: all call at once.
        """
        if count != self._count:
            self._count = count
            for branch in self.by_name.values():
                branch.release()
            self._clear()
        self._sample = "" if sample is None else f", sample {sample}"
        name = self._name + self._sample
        if name in self.by_name:
            if self.by_name[name].kinds:  # its second step: all of the run have called
                self._idle.clear()
        else:
            self.by_name[name] = self._idle.pop(0) if self._idle else self._make()
        self.calling = self.by_name[name]
        self.calling.sample = sample
        self.calling.activate()
        return self.calling

    def begin(self, first: bool) -> bool:
        """A step of the branch that calls begins; whether it is the first step of all of a run.

        The run of a branch that was of the run already is the next: the others are of the one
        before until they call, and those that have not by its second step are dropped.
        """
        name = self._name + self._sample
        if first and self._begins_late(name):
            self._run.add(name)
            return False
        if first:  # of its own run
            self._run = {name} if name in self._run else self._run | {name}
            self.by_name[name] = self.by_name.pop(name)
        elif name not in self._run:
            self._run.add(name)  # it goes on, where another one began anew by itself
        else:
            for other in self.by_name.keys() - self._run:
                self.by_name.pop(other).release()
        return first and len(self._run) == 1

    def _begins_late(self, name: str) -> bool:
        """Whether others of the run have begun before."""
        others = (self.by_name[other] for other in self._run - {name})
        return any(other.runs.first < self.calling.runs.first for other in others)

    def exchange(self, parts: Callable[[], tuple[ModulationPlan, Storage]]) -> None:
        """The model's modules are others: nothing is cached of these."""
        for branch in self.every:
            branch.release()
            branch.exchange(*parts())
        self.calling.activate()

    def end_run(self) -> None:
        """The next call begins a run."""
        for branch in self.by_name.values():
            branch.runs.restart()
        self._caller.restart()

    def restart(self) -> None:
        """Forget the run, and what is cached."""
        for branch in self.every:
            branch.restart()
        self._clear()
        self._idle = [self.calling]
        self._caller.restart()

    def _clear(self) -> None:
        self.by_name.clear()
        self._run.clear()
