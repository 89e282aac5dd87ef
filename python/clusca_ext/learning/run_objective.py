"""Learning along a whole run, on the student's own trajectory (HarmoniCa, arXiv 2410.01723)."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from clusca_ext.checks import integer, number
from clusca_ext.learning.calls import Call, branches_of, copied, intercepted, record
from clusca_ext.learning.history import History
from clusca_ext.learning.mixing import Mixer
from clusca_ext.learning.objective import Measured, Price, learn_step
from clusca_ext.learning.routers import Routers


class RunObjective:
    """All cached steps of a run, on the inputs that the mixed model itself leads to.

    HarmoniCa (arXiv 2410.01723): training follows the student's own trajectory, and the error of a
    step counts as much as it changes the image: ``weight[step]`` is the MSE between the image of
    the full sampler and that of a run which is mixed at this step alone, measured again every
    ``refresh`` iterations. Here the weights are divided by their mean, so that ``penalty`` means
    what it means in ``PairObjective``, and the student keeps a module's own output as a cache would
    where its beta is above ``theta``.

    Args:
        mixer: Runs the model.
        routers: What is learnt.
        sample: Runs the sampler with a seed and returns its result, a tensor.
        price: Of a step.
        theta: As in ``Routers.kept``.
        refresh: Iterations from one measurement of the weights to the next.
        seed: Of the first run; the others follow.
    """

    def __init__(
        self,
        mixer: Mixer,
        routers: Routers,
        sample: Callable[[int], Any],
        price: Price,
        theta: float = 0.1,
        refresh: int = 100,
        seed: int = 0,
    ) -> None:
        integer("refresh", refresh, 1)
        integer("seed", seed, 0)
        number("theta", theta)
        self._mixer, self._routers, self._sample, self._price = mixer, routers, sample, price
        self._theta, self._refresh, self._seed = theta, refresh, seed
        self._branches = 0
        self.weights = torch.ones(len(routers.cached_steps), dtype=torch.float64)

    def about(self) -> dict[str, Any]:
        of_run = {"theta": self._theta, "refresh": self._refresh, "first_seed": self._seed}
        return {"objective": "run", **asdict(self._price), **of_run}

    def backward(self, iteration: int, generator: torch.Generator) -> Measured:
        seed, routers = self._seed + iteration, self._routers
        if not self._branches:
            calls = record(self._mixer.model, lambda: self._sample(seed))
            self._branches = branches_of(len(calls), routers.num_steps)
        if iteration % self._refresh == 0:
            self.weights = self._measured(seed)
        weights = dict(zip(routers.cached_steps, self.weights.tolist(), strict=True))
        found: list[tuple[float, float]] = []

        def learn(call: Call, step: int, history: History) -> Any:
            scale = weights[step] / self._branches, 1 / self._branches
            error, computed, output = learn_step(
                self._mixer, routers, self._price, call, step, history, scale, self._theta
            )
            found.append((error, computed))
            return output

        self._run(seed, routers.cached_steps, learn)
        errors, computed = zip(*found, strict=True)
        return Measured(sum(errors) / len(found), sum(computed) / len(found))

    def _measured(self, seed: int) -> Tensor:
        """How much the mixture at each cached step alone changes the image. [S] float64"""
        routers, mixer = self._routers, self._mixer
        full = self._image(seed)
        errors = []
        for step in routers.cached_steps:
            with torch.no_grad():
                betas = routers.betas(routers.scores(step, self._price.threshold))

            def mix(call: Call, at: int, history: History, betas: Any = betas) -> Any:
                with torch.no_grad():
                    return mixer.mixed(call, at, history, betas)

            image = self._run(seed, (step,), mix)
            errors.append(F.mse_loss(image.double(), full.double()))
        measured = torch.stack(errors).cpu()
        return measured / measured.mean() if measured.mean() > 0 else torch.ones_like(measured)

    def _image(self, seed: int) -> Tensor:
        image = self._sample(seed)
        if not isinstance(image, Tensor):
            raise ValueError(
                f"sample must return a tensor, the run's result, got {type(image).__name__}"
            )
        return copied(image)  # type: ignore[no-any-return]

    def _run(
        self,
        seed: int,
        mixed_steps: tuple[int, ...],
        mix: Callable[[Call, int, History], Any],
    ) -> Tensor:
        """Sample with a model that ``mix`` runs at some steps."""
        histories = [History() for _ in range(self._branches)]
        count = 0

        def handle(call: Call) -> Any:
            nonlocal count
            step, branch = divmod(count, self._branches)
            count += 1
            run = mix if step in mixed_steps else self._mixer.full
            return run(call, step, histories[branch])

        with intercepted(self._mixer.model, handle):
            return self._image(seed)

    def state(self) -> dict[str, Tensor]:
        return {"weights": self.weights}

    def load(self, state: dict[str, Tensor]) -> None:
        self.weights = state["weights"]
