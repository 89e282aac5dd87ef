"""What a router learns: to compute little, where forecasts would change the model's output."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from clusca_ext.checks import number, part
from clusca_ext.learning.calls import Call, copied, prediction
from clusca_ext.learning.history import History
from clusca_ext.learning.mixing import Mixer
from clusca_ext.learning.pairs import Pairs
from clusca_ext.learning.routers import Routers


@dataclass(frozen=True, kw_only=True)
class Price:
    """The loss of a cached step: ``weight * MSE(full, mixed) + penalty * sum(beta)``.

    Attributes:
        penalty: What computing a module costs: lambda.
        threshold: Betas are rounded at it, with straight-through gradients; None: soft.
    """

    penalty: float = 1e-3
    threshold: float | None = None

    def __post_init__(self) -> None:
        number("penalty", self.penalty)
        if self.penalty < 0:
            raise ValueError(f"penalty must be at least 0, got {self.penalty!r}")
        if self.threshold is not None:
            number("threshold", self.threshold)
            if not 0 <= self.threshold < 1:
                raise ValueError(f"threshold must be in [0, 1), got {self.threshold!r}")


@dataclass(frozen=True)
class Measured:
    """What an iteration measured, means over its cached steps.

    Attributes:
        error: MSE of the mixed model to the full one.
        computed: Mean beta.
    """

    error: float
    computed: float


class Objective(Protocol):
    """One iteration's gradients."""

    def about(self) -> dict[str, Any]:
        """Plain values that tell it from others: a run goes on with the ones it began with."""
        return {}

    def backward(self, iteration: int, generator: torch.Generator) -> Measured:
        """Add the gradients of an iteration to the routers' logits."""

    def state(self) -> dict[str, Tensor]:
        """What the next iteration depends on beside its index and the logits."""

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from what ``state`` returned."""


class PairObjective:
    """One cached step an iteration, after full steps (Learning-to-Cache, arXiv 2406.01733).

    ``MSE(full(x), mixed(x)) + penalty * sum(beta)``, x a cached step's input.

    Args:
        mixer: Runs the model.
        routers: What is learnt.
        pairs: Where inputs come from.
        price: Of a step.
    """

    def __init__(self, mixer: Mixer, routers: Routers, pairs: Pairs, price: Price) -> None:
        part("pairs", pairs, "about")
        if pairs.num_steps != routers.num_steps:
            raise ValueError(
                f"pairs must be of runs of {routers.num_steps} steps, got {pairs.num_steps}"
            )
        self._mixer, self._routers, self._pairs, self._price = mixer, routers, pairs, price

    def about(self) -> dict[str, Any]:
        return {**self._pairs.about(), **asdict(self._price)}

    def backward(self, iteration: int, generator: torch.Generator) -> Measured:
        routers, mixer = self._routers, self._mixer
        place = int(torch.randint(len(routers.cached_steps), (), generator=generator))
        step = routers.cached_steps[place]
        known = [full for full in routers.full_steps if full < step]
        before = known[-1 - mixer.forecaster.order :]
        pair = self._pairs.pair(iteration, step, before, generator)
        history = History()
        for index, call in pair.before:
            mixer.full(call, index, history)
        error, computed, _ = learn_step(mixer, routers, self._price, pair.call, step, history)
        return Measured(error, computed)

    def state(self) -> dict[str, Tensor]:
        return {}

    def load(self, state: dict[str, Tensor]) -> None:
        pass


def learn_step(
    mixer: Mixer,
    routers: Routers,
    price: Price,
    call: Call,
    step: int,
    history: History,
    scale: tuple[float, float] = (1.0, 1.0),
    refresh: float | None = None,
) -> tuple[float, float, Any]:
    """Add a step's gradients; its error, its mean beta, and the mixed model's output."""
    up = 1.0  # the error is scaled by it on its way through the model, whatever its precision
    with torch.inference_mode(False), torch.enable_grad():
        call = copied(call)
        target = mixer.target(call)
        scores = routers.scores(step, price.threshold)
        betas = scores.view_as(scores)
        betas.register_hook(lambda gradient: gradient * (scale[0] / up))
        output = mixer.mixed(call, step, history, routers.betas(betas), refresh)
        predicted = prediction(output)
        if not predicted.requires_grad:
            raise ValueError(
                "the model's output must have a gradient, got one without: it runs its blocks in "
                "torch.no_grad, or checkpoints them with use_reentrant=True"
            )
        error = F.mse_loss(predicted.float(), target.float())
        up = _scale_of(predicted, target)
        loss = up * error + scale[1] * price.penalty * scores.sum()
        loss.backward()
    return error.item(), scores.mean().item(), _detached(output)


@torch.no_grad()
def _scale_of(predicted: Tensor, target: Tensor) -> float:
    """A power of two by which the largest gradient of the output's MSE is about 1.

    It is a mean over all numbers of the output, whose gradients float16 rounds to zero else.
    """
    largest = (predicted.float() - target.float()).abs().max().item() * 2 / predicted.numel()
    return 2.0 ** min(-round(math.log2(largest)), 100) if 0 < largest < math.inf else 1.0


def _detached(output: Any) -> Any:
    """A model's output without its graph, of the same class."""
    if isinstance(output, Tensor):
        return output.detach()
    if isinstance(output, (tuple, list)):
        return type(output)(_detached(each) for each in output)
    if isinstance(output, dict):  # diffusers' outputs are dataclasses too
        return type(output)(**{name: _detached(each) for name, each in output.items()})
    return output
