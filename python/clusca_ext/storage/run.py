"""What is known of a run when a branch's storage begins it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.plan import ModulationPlan
from clusca_ext.schedule import Decision, Step


@dataclass(frozen=True)
class Run:
    """A run of one branch, from one of its steps on.

    Attributes:
        description: The model's.
        plan: Modulation of its coming steps, where that can be known.
        decide: What the schedule decides.
        num_steps: Its length; None: not known.
        step: The first for which anything is cached: 0, or where a run goes on with other inputs.
        like: What streams are like in dtype and device.
        shapes: Of every block's stream [B, N, D]; None: not known.
        args: Positional inputs of the model at that step.
        kwargs: Keyword inputs.
    """

    description: ModelDescription
    plan: ModulationPlan
    decide: Callable[[Step], Decision | None]
    num_steps: int | None
    step: int
    like: Tensor
    shapes: Sequence[tuple[int, int, int]] | None
    args: Args
    kwargs: Kwargs

    def without_inputs(self) -> "Run":
        """The same, holding none of the model's inputs."""
        return replace(self, like=self.like.new_empty(0), args=(), kwargs={})
