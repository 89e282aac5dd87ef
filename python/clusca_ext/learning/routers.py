"""Routers: one logit for every module and cached step (Learning-to-Cache, arXiv 2406.01733)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from clusca_ext.checks import integers, number
from clusca_ext.schedule import Key, MaskSchedule
from clusca_ext.schedule.masks import name_of


class Routers(nn.Module):
    """How much of each module every cached step computes: ``beta = sigmoid(logit)``.

    Args:
        keys: All modules of the model.
        learnt: Those that have logits; the others are never computed on a cached step.
        num_steps: Steps of a run.
        cached_steps: Those that have a router; all others are full.
        generator: Draws the logits from the standard normal distribution.

    Attributes:
        logits: One vector for each cached step, a parameter of its own: an optimizer moves only
            those that a batch used. [M] each

    Raises:
        ValueError: There is no cached step, or the first step is one, or no module has a logit.
    """

    def __init__(
        self,
        keys: Sequence[Key],
        learnt: Sequence[Key],
        num_steps: int,
        cached_steps: Sequence[int],
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.keys, self.learnt, self.num_steps = tuple(keys), tuple(learnt), num_steps
        self.cached_steps = integers("cached_steps", cached_steps, 1, num_steps - 1)
        if not self.cached_steps or list(self.cached_steps) != sorted(set(self.cached_steps)):
            raise ValueError(
                f"cached_steps must ascend and be one at least, got {list(self.cached_steps)}"
            )
        if not self.learnt:
            raise ValueError("a module at least must be one that a mask can compute, got none")
        size = len(self.learnt)
        self.logits = nn.ParameterList(
            nn.Parameter(torch.randn(size, generator=generator)) for _ in self.cached_steps
        )

    @property
    def full_steps(self) -> tuple[int, ...]:
        cached = set(self.cached_steps)
        return tuple(step for step in range(self.num_steps) if step not in cached)

    def of_step(self, step: int) -> nn.Parameter:
        """The logits of a cached step. [M]"""
        found: nn.Parameter = self.logits[self.cached_steps.index(step)]
        return found

    def scores(self, step: int, threshold: float | None = None) -> Tensor:
        """The betas of a cached step. [M]

        Args:
            step: Its index in the run.
            threshold: Betas above it are 1, others 0, while gradients are those of the betas
                themselves (straight through); None: the betas.
        """
        beta = self.of_step(step).sigmoid()
        if threshold is None:
            return beta
        return (beta > threshold).to(beta) + beta - beta.detach()

    def betas(self, scores: Tensor) -> dict[Key, Tensor]:
        """Scores [M] by module."""
        return dict(zip(self.learnt, scores.unbind(), strict=True))

    def kept(self, theta: float) -> Tensor:
        """Which modules each cached step computes: those of a beta above theta. [S, M] bool"""
        number("theta", theta)
        with torch.no_grad():
            return torch.stack([logits.sigmoid() > theta for logits in self.logits]).cpu()

    def removed(self, theta: float) -> float:
        """Share of the computations in cached steps that is left out."""
        return 1 - int(self.kept(theta).sum()) / (len(self.cached_steps) * len(self.keys))

    def schedule(self, theta: float) -> MaskSchedule:
        """The masks: a beta above theta computes its module."""
        marks = {key: [1] * self.num_steps for key in self.keys}
        for step, kept in zip(self.cached_steps, self.kept(theta), strict=True):
            computed = dict(zip(self.learnt, kept.tolist(), strict=True))
            for key in self.keys:
                marks[key][step] = int(computed.get(key, False))
        return MaskSchedule(modules=tuple((name_of(key), tuple(m)) for key, m in marks.items()))
