"""Training pairs: a cached step's inputs, and those of the full steps before it."""

import copy
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from clusca_ext.checks import integer
from clusca_ext.digests import digest_of
from clusca_ext.learning.calls import Call, branches_of, prediction, record

_SPLITTING = ("learned", "learned_range")  # variances that a scheduler takes by itself


@dataclass(frozen=True)
class Pair:
    """What one iteration learns from.

    Attributes:
        step: Index of the cached step.
        call: Its inputs.
        before: Full steps before it, the oldest first: index and inputs.
    """

    step: int
    call: Call
    before: tuple[tuple[int, Call], ...]


class Pairs(Protocol):
    """Where pairs come from. The same iteration always gives the same pair."""

    num_steps: int

    def about(self) -> dict[str, Any]:
        """Plain values that tell it from others, as of an objective."""
        return {}

    def pair(
        self, iteration: int, step: int, before: Sequence[int], generator: torch.Generator
    ) -> Pair:
        """A pair of a cached step and the full steps ``before`` it.

        Args:
            iteration: Index of the iteration.
            step: Index of the cached step.
            before: Indices of the full steps, the oldest first.
            generator: Of this iteration; everything random is drawn from it.
        """


class DataPairs:
    """From data: noise is added, and the sampler goes from there to the cached step.

    Learning-to-Cache's way (arXiv 2406.01733): ``q_sample`` to the oldest full step, then the
    scheduler's own steps with the model's predictions.

    Args:
        model: The model.
        scheduler: One of diffusers.
        num_steps: Steps of a run.
        draw: Given a generator, clean data [B, ...] and what the model is conditioned on.
        call: The model's inputs of noisy data, a timestep (0-dim) and that condition.
        scheduling: What the scheduler's ``set_timesteps`` takes beside ``num_steps``, as ``mu`` or
            ``sigmas``.
    """

    def __init__(
        self,
        model: nn.Module,
        scheduler: Any,
        num_steps: int,
        draw: Callable[[torch.Generator], tuple[Tensor, Any]],
        call: Callable[[Tensor, Tensor, Any], Call],
        scheduling: Mapping[str, Any] | None = None,
    ) -> None:
        integer("num_steps", num_steps, 2)
        self.num_steps = num_steps
        self._model, self._draw, self._call = model, draw, call
        self._scheduler = copy.deepcopy(scheduler)  # a pipeline may be using its own
        self._scheduling = dict(scheduling or {})

    def about(self) -> dict[str, Any]:
        config = {k: v for k, v in self._scheduler.config.items() if not k.startswith("_")}
        said = json.dumps([config, self._scheduling], sort_keys=True, default=_plain)
        name = type(self._scheduler).__name__
        return {"objective": "data", "scheduler": f"{name} {digest_of([said.encode()])}"}

    @torch.no_grad()
    def pair(
        self, iteration: int, step: int, before: Sequence[int], generator: torch.Generator
    ) -> Pair:
        clean, condition = self._draw(generator)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        scheduler = self._scheduler
        scheduler.set_timesteps(self.num_steps, device=clean.device, **self._scheduling)
        timesteps = scheduler.timesteps
        if len(timesteps) != self.num_steps:
            raise ValueError(
                f"scheduler must call the model {self.num_steps} times, got {len(timesteps)} "
                "timesteps: DataPairs needs one of first order"
            )
        first = before[0]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        several = timesteps[first].expand(len(clean))
        if hasattr(scheduler, "scale_noise"):  # flow matching
            noisy = scheduler.scale_noise(clean, several, noise)
        else:
            noisy = scheduler.add_noise(clean, noise, several)

        own = {"generator": generator} if _takes(scheduler.step, "generator") else {}

        def call_at(index: int) -> Call:
            scale = getattr(scheduler, "scale_model_input", lambda sample, timestep: sample)
            return self._call(scale(noisy, timesteps[index]), timesteps[index], condition)

        full = []
        for index in range(first, step):
            call = call_at(index)
            if index in before:
                full.append((index, call))
            output = _given_to(scheduler, prediction(call.of(self._model)), noisy)
            noisy = scheduler.step(output, timesteps[index], noisy, **own).prev_sample
        return Pair(step, call_at(step), tuple(full))


def _plain(value: Any) -> Any:
    """Arrays and tensors as lists, and anything else as it says itself."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _takes(function: Callable[..., Any], name: str) -> bool:
    return name in inspect.signature(function).parameters


def _given_to(scheduler: Any, output: Tensor, noisy: Tensor) -> Tensor:
    """Of a model that predicts a variance too, the first half, or all if the scheduler splits it.

    Raises:
        ValueError: The output is of another shape.
    """
    if output.shape == noisy.shape:
        return output
    half = noisy.shape[1]
    if output.shape == (len(noisy), 2 * half, *noisy.shape[2:]):
        # A configuration may be another scheduler's, and names then what its own does not take.
        own = _takes(type(scheduler).__init__, "variance_type")
        return output if own and scheduler.config.variance_type in _SPLITTING else output[:, :half]
    raise ValueError(
        f"model must return what its scheduler takes, {list(noisy.shape)} or twice the channels, "
        f"got {list(output.shape)}"
    )


class TrajectoryPairs:
    """Without data: from runs of the full sampler, whose calls of the model are recorded.

    Args:
        model: The model.
        sample: Runs the sampler with a seed.
        num_steps: Steps of a run.
        uses: Pairs taken of a run before the next one is recorded.
        seed: Of the first run; the others follow.
    """

    def __init__(
        self,
        model: nn.Module,
        sample: Callable[[int], Any],
        num_steps: int,
        uses: int = 32,
        seed: int = 0,
    ) -> None:
        integer("num_steps", num_steps, 2)
        integer("uses", uses, 1)
        integer("seed", seed, 0)
        self.num_steps = num_steps
        self._model, self._sample, self._uses, self._seed = model, sample, uses, seed
        self._run = -1
        self._calls: list[Call] = []

    def about(self) -> dict[str, Any]:
        return {"objective": "pairs", "uses": self._uses, "first_seed": self._seed}

    def pair(
        self, iteration: int, step: int, before: Sequence[int], generator: torch.Generator
    ) -> Pair:
        run = iteration // self._uses
        if run != self._run:
            self._run = -1  # whatever happens
            self._calls.clear()  # two runs' calls need not fit
            self._calls = record(self._model, lambda: self._sample(self._seed + run))
            self._run = run
        branches = branches_of(len(self._calls), self.num_steps)
        branch = int(torch.randint(branches, (), generator=generator))

        def at(index: int) -> Call:
            return self._calls[index * branches + branch]

        return Pair(step, at(step), tuple((index, at(index)) for index in before))
