"""The gates of a run, known when it begins, and whether its steps keep to what they were made from.

On a CPU that is seen at each step. On a device the first timestep is read on the host, once a run;
whether the others are those announced is found out without waiting.
"""

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.device_check import DeviceCheck
from clusca_ext.given import Given, is_free
from clusca_ext.plan import ModulationPlan
from clusca_ext.storage.constants import moved
from clusca_ext.storage.lean.gates import gates_of_run
from clusca_ext.storage.run import Run


class Foresight:
    """What the gates of a run were made from.

    Attributes:
        gates: Of the steps from the first on. [S, 1 or B, M, D]
        first: That step of the run.
    """

    def __init__(self, run: Run, timestep: Tensor, given: Given) -> None:
        self._description: ModelDescription = run.description
        self._plan: ModulationPlan = run.plan
        self._given = given
        self._check: DeviceCheck | None = None
        self.first = run.step
        steps = range(run.step, run.plan.num_steps)
        self.gates = gates_of_run(run.plan, steps, timestep.dtype, given)

    @classmethod
    def of(cls, run: Run) -> "Foresight | str":
        """Of a run; or why its gates are not known."""
        if run.description.conditions is None:
            return "this model's gates are not known before its steps"
        if run.plan.num_steps <= run.step:
            return "timesteps are not known"
        found = run.plan.foreseen(run.step, run.args, run.kwargs)
        if found is None:
            return "weights are offloaded, or what the model is given decides its gates"
        timestep, given = found
        if not bool((timestep == run.plan.expected(run.step, timestep)).all()):
            return "the model is given other timesteps than those announced"
        return cls(run, timestep, given)

    def check(self, step: int, args: Args, kwargs: Kwargs) -> None:
        """Raise where a step is not given what its gates were made from."""
        found = self._plan.foreseen(step, args, kwargs)
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
            held = self._check.held is not False and given.versions == self._given.versions
            looks = same.all()
            for now, then in zip(given.conditions, self._given.conditions, strict=True):
                if now is not then and now.shape == then.shape:
                    looks = looks.logical_and((now == then).all())
            self._check.look(looks)
        if not held:
            raise ValueError(
                "timestep and conditions must be those announced for their step, by the scheduler "
                "or as timesteps=, and the first step's, got others in this run: what came out "
                'since is wrong (LeanStorage(basis="gated") needs to know nothing)'
            )

    def at(self, steps: list[int]) -> Tensor:
        """The gates of some steps. [W, 1 or B, M, D]"""
        index = torch.tensor([step - self.first for step in steps])
        return self.gates.index_select(0, moved(index, self.gates.device))
