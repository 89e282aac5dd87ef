"""The branches of guidance of a cache, and which of them calls."""

from collections.abc import Callable

from clusca_ext.adapters.description import Args, Kwargs
from clusca_ext.branch import Branch
from clusca_ext.runs.callers import Caller


class Branches:
    """The branches of a cache.

    A pipeline's next run may name them otherwise: then they are taken again in the order in which
    they call, with the memory they have.

    Args:
        make: Makes one.
        caller: Tells which one calls.

    Attributes:
        by_name: Those of the run, in the order in which they called first.
        calling: The one that called last.
    """

    def __init__(self, make: Callable[[], Branch], caller: Caller) -> None:
        self._make, self._caller = make, caller
        self.by_name: dict[str, Branch] = {}
        self.calling = make()
        self._idle = [self.calling]  # of the run before, until one calls again

    @property
    def leader(self) -> Branch:
        """The branch whose tokens are clustered: the conditional one, or the first to call."""
        first = next(iter(self.by_name.values()), self.calling)
        return self.by_name.get("cond", first)

    @property
    def every(self) -> list[Branch]:
        """All there are, those too that have not called in this run."""
        found = (self.calling, *self.by_name.values(), *self._idle)
        return list({id(branch): branch for branch in found}.values())

    def call(self, args: Args, kwargs: Kwargs) -> Branch:
        """The branch of a call that begins."""
        if self._caller.begins_run():
            self._idle = [*self.by_name.values()] or self._idle
            self.by_name.clear()
        name = self._caller.name(args, kwargs)
        if name in self.by_name:
            self._idle.clear()
        else:
            self.by_name[name] = self._idle.pop(0) if self._idle else self._make()
        self.calling = self.by_name[name]
        self.calling.activate()
        return self.calling

    def restart(self) -> None:
        """Forget the run, and what is cached."""
        for branch in self.every:
            branch.restart()
        self.by_name.clear()
        self._idle = [self.calling]
        self._caller.restart()
