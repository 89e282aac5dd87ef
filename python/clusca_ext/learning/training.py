"""Training of routers: AdamW on their logits, checkpoints, and going on after an interruption."""

import json
import math
import pathlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from clusca_ext.checks import integer, number, part
from clusca_ext.config import ClusCaConfig
from clusca_ext.digests import weights_digest
from clusca_ext.forecast import Forecaster
from clusca_ext.learning.mixing import Mixer
from clusca_ext.learning.objective import Measured, Objective
from clusca_ext.learning.routers import Routers
from clusca_ext.writing import alone, write_whole

CHECKPOINT = "checkpoint.safetensors"
_SECONDS = 20.0  # what a killed run loses at most, beside the iteration it was in


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How long and how fast.

    Attributes:
        iterations: Updates of the logits.
        learning_rate: Of AdamW, without weight decay.
        seed: Together with an iteration's index it seeds all that is random in it.
        every: Iterations from one checkpoint to the next; slow ones are written after 20 seconds.
    """

    iterations: int = 400
    learning_rate: float = 0.1
    seed: int = 0
    every: int = 50

    def __post_init__(self) -> None:
        integer("iterations", self.iterations, 1)
        integer("seed", self.seed, 0)
        integer("every", self.every, 1)
        number("learning_rate", self.learning_rate)
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate!r}")

    def generator(self, iteration: int) -> torch.Generator:
        """What an iteration draws from; -1: the logits' first values."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + iteration + 1)


class Training:
    """A training run, and its checkpoint in a folder.

    A run that was stopped goes on where it was, and ends with the very bits it would have had.

    Args:
        mixer: Runs the model.
        routers: What is learnt.
        objective: Makes gradients.
        settings: How long and how fast.
        folder: Where the checkpoint lies. One that is there is gone on with.
        about: What else the run depends on, by name, as where data come from: a checkpoint of a
            run with other values is refused, as is one of another model, forecaster, objective or
            other routers. ``"weights"`` among them stands for the model's, which are else read.
        clock: Seconds, by which a checkpoint is old.

    Attributes:
        iteration: Updates so far.
        errors: Of all iterations, as ``Measured.error``.

    Raises:
        ValueError: The folder's checkpoint is of another run, or damaged.
    """

    def __init__(
        self,
        mixer: Mixer,
        routers: Routers,
        objective: Objective,
        settings: TrainingSettings,
        folder: str | pathlib.Path,
        about: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        part("objective", objective, "about")
        self._clock = clock
        self._mixer, self._objective, self.settings = mixer, objective, settings
        self.routers, self.path = routers, pathlib.Path(folder) / CHECKPOINT
        self.optimizer = torch.optim.AdamW(
            routers.parameters(), lr=settings.learning_rate, weight_decay=0.0
        )
        own = dict(about or {})
        self.about: dict[str, Any] = {
            **own,  # whose names are the first to be told
            **objective.about(),
            "num_steps": routers.num_steps,
            "cached_steps": list(routers.cached_steps),
            "modules": [list(key) for key in routers.learnt],
            "learning_rate": settings.learning_rate,
            "seed": settings.seed,
            "forecaster": _plain(mixer.forecaster),
            **({} if "weights" in own else {"weights": weights_digest(mixer.model)}),
            **own,
        }
        for name, value in self.about.items():
            _require_json(name, value)
        self.iteration = 0
        self.errors: list[float] = []
        if self.path.exists():
            self._load()
        self._snapshot = self._state()

    def run(self, on_iteration: Callable[[Measured], None] = lambda measured: None) -> None:
        """Train to the end.

        An interruption leaves the last whole iteration, here and in the checkpoint; a kill, which
        lets nothing be written any more, that of 20 seconds or ``every`` iterations before at most.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with alone(self.path.parent):
            self._saved = self._clock()
            try:
                # What was compiled asks for no hooks, and what is compiled now would keep these.
                with torch.compiler.set_stance("force_eager"), self._mixer.installed():
                    while self.iteration < self.settings.iterations:
                        on_iteration(self._iterate())
                        old = self._clock() - self._saved >= _SECONDS
                        if old or self.iteration % self.settings.every == 0:
                            self.save()
            except BaseException:
                self._restore(self._snapshot)
                raise
            finally:
                self.save()

    def _iterate(self) -> Measured:
        self.optimizer.zero_grad(set_to_none=True)  # what has no gradient is left alone
        generator = self.settings.generator(self.iteration)
        measured = self._objective.backward(self.iteration, generator)
        self._require_finite(measured)
        self.optimizer.step()
        self.iteration += 1
        self.errors.append(measured.error)
        self._snapshot = self._state()
        return measured

    def _require_finite(self, measured: Measured) -> None:
        """Else the logits of a step would be no numbers from now on, and compute nothing."""
        found = [each.grad for each in self.routers.parameters() if each.grad is not None]
        if not math.isfinite(measured.error) or not all(each.isfinite().all() for each in found):
            raise ValueError(
                f"the loss and its gradients must be finite, got NaN or infinity at iteration "
                f"{self.iteration}, a loss of {measured.error}: train in bfloat16 or float32, or "
                "with forecasts of a lower order"
            )

    def save(self) -> None:
        """Write the checkpoint; whatever happens meanwhile, a whole one is there."""
        text = json.dumps(self.about, sort_keys=True)
        write_whole(self.path, save(self._snapshot, {"about": text}))
        self._saved = self._clock()

    def _state(self) -> dict[str, Tensor]:
        """A copy of all that the rest of the run depends on."""
        state = {
            "iteration": torch.tensor(self.iteration),
            "errors": torch.tensor(self.errors, dtype=torch.float64),
        }
        for name, tensor in self._objective.state().items():
            state[f"objective.{name}"] = tensor.clone()
        for step, logits in zip(self.routers.cached_steps, self.routers.logits, strict=True):
            state[f"logits.{step}"] = logits.detach().clone()
            for name, tensor in self.optimizer.state.get(logits, {}).items():
                state[f"{name}.{step}"] = tensor.clone()
        return state

    def _load(self) -> None:
        try:
            with safe_open(self.path, "pt") as file:
                about = json.loads((file.metadata() or {})["about"])
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, ValueError) as error:
            raise ValueError(f"{self.path} must be a checkpoint of routers: {error}") from None
        asked = json.loads(json.dumps(self.about))
        for name in (*asked, *about):
            if name not in about:
                raise ValueError(
                    f"{self.path} must say {name}, got a checkpoint without: take another folder, "
                    "or remove that file to begin anew"
                )
            if asked.get(name) != about.get(name):
                raise ValueError(
                    f"{name} must be {about.get(name)!r} as in the run of {self.path}, got "
                    f"{asked.get(name)!r}: take another folder, or remove that file to begin anew"
                )
        done, wanted = int(state["iteration"]), self.settings.iterations
        if done > wanted:
            raise ValueError(
                f"iterations must be at least the {done} that the run of {self.path} has done, got "
                f"{wanted}: take another folder, or remove that file to begin anew"
            )
        self._restore(state)

    def _restore(self, state: dict[str, Tensor]) -> None:
        """Be where ``_state`` was."""
        self.iteration, self.errors = int(state["iteration"]), state["errors"].tolist()
        prefix = "objective."
        of_objective = {
            name.removeprefix(prefix): tensor.clone()
            for name, tensor in state.items()
            if name.startswith(prefix)
        }
        self._objective.load(of_objective)
        for step, logits in zip(self.routers.cached_steps, self.routers.logits, strict=True):
            with torch.no_grad():
                logits.copy_(state[f"logits.{step}"])
            kept = {name: state.get(f"{name}.{step}") for name in ("step", "exp_avg", "exp_avg_sq")}
            self.optimizer.state.pop(logits, None)
            if kept["step"] is not None:
                self.optimizer.state[logits] = {
                    name: tensor.clone() if name == "step" else tensor.to(logits, copy=True)
                    for name, tensor in kept.items()
                    if tensor is not None
                }


def _plain(forecaster: Forecaster) -> Any:
    """What tells it from others: of a class that is not clusca_ext's, its name and order."""
    try:
        return ClusCaConfig(forecaster=forecaster).to_dict()["forecaster"]
    except ValueError:
        return {"type": type(forecaster).__qualname__, "order": forecaster.order}


def _require_json(name: str, value: Any) -> None:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} of about must be plain values, got {value!r}") from None
