"""The gates of a run, known when it begins, and whether its steps keep to what they were made from.

On a CPU that is seen at each step. On a device the first timestep is read on the host, once a run;
whether the others are those announced is found out without waiting.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs
from clusca_ext.device_check import DeviceCheck
from clusca_ext.given import Given, is_free
from clusca_ext.offload import fetch
from clusca_ext.plan import ModulationPlan
from clusca_ext.storage.constants import moved
from clusca_ext.storage.lean.gates import gates_of_run
from clusca_ext.storage.run import Run


class Foresight:
    """The gates of a run, for every group of its tokens, and what they were made from.

    Attributes:
        groups: Each group's first token, and its gates; one group begins with 0.
    """

    def __init__(self, run: Run, timestep: Tensor, given: Given, sizes: tuple[int, ...]) -> None:
        self._plan: ModulationPlan = run.plan
        self._given = given
        self._conditions = tuple(t.clone() for t in given.conditions)  # may be written to
        self._check: DeviceCheck | None = None
        steps = range(run.step, run.plan.num_steps)
        gates = gates_of_run(run.plan, steps, timestep.dtype, given)
        begins = [sum(sizes[:group]) for group in range(len(gates))]
        self.groups = [(b, Gates(g, run.step)) for b, g in zip(begins, gates, strict=True)]

    def bytes(self) -> int:
        return sum(gates.values.nbytes for _, gates in self.groups)

    @classmethod
    def of(cls, run: Run) -> "Foresight | str":
        """Of a run; or why its gates are not known."""
        description, args, kwargs = run.description, run.args, run.kwargs
        if description.conditions is None and description.groups is None:
            return "this model's gates are not known before its steps"
        if run.plan.num_steps <= run.step:
            return "timesteps are not known"
        fetch(description.model)
        found = run.plan.foreseen(run.step, args, kwargs)
        if found is None:
            return "weights come block by block, or what the model is given decides its gates"
        sizes = () if description.groups is None else description.groups.sizes(args, kwargs)
        if description.groups is not None and not sizes:
            return "groups of tokens with gates of their own differ by row"
        timestep, given = found
        if not bool((timestep == run.plan.expected(run.step, timestep)).all()):
            return "the model is given other timesteps than those announced"
        return cls(run, timestep, given, sizes)

    def check(self, step: int, args: Args, kwargs: Kwargs) -> None:
        """Raise where a step is not given what its gates were made from."""
        found = self._plan.given(step, args, kwargs)
        if found is None:
            raise ValueError(
                "lean storage needs every step of a run to be given its timestep and conditions as "
                f"the first one was, got other inputs at step {step}"
            )
        timestep, given = found
        same = timestep == self._plan.expected(step, timestep)
        if is_free(timestep):
            held = bool(same.all()) and self._given.holds(given.conditions)
        else:
            if self._check is None:
                self._check = DeviceCheck(timestep.device)
            looks = same.all()
            for now, then in zip(given.conditions, self._conditions, strict=False):
                looks = looks.logical_and((now == then).all())
            held = self._check.held is not False and len(given.conditions) == len(self._conditions)
            self._check.look(looks)
        if not held:
            raise ValueError(
                "timestep and conditions must be those announced for their step, by the scheduler "
                "or as timesteps=, and the first step's, got others in this run: what came out "
                'since is wrong (LeanStorage(basis="gated") needs to know nothing)'
            )


@dataclass(frozen=True)
class Gates:
    """Those of one group of tokens.

    Attributes:
        values: Of the steps from the first on. [S, 1 or B, M, D]
        first: That step of the run.
    """

    values: Tensor
    first: int

    def at(self, steps: list[int]) -> Tensor:
        """The gates of some steps. [W, 1 or B, M, D]"""
        index = torch.tensor([step - self.first for step in steps], device="cpu")
        return self.values.index_select(0, moved(index, self.values.device))
