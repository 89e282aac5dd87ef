"""A training run that can be stopped at any moment and goes on bit for bit.

Every step draws its batch, noise and labels from a generator seeded with (seed, step), so a run
that was stopped goes on where it was; the state of a run with other settings is refused. The
state is one safetensors file; nothing is pickled.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import DiTTransformer2DModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor


def start_as_identity(model: DiTTransformer2DModel) -> None:
    """adaLN-Zero: every block starts as the identity, and the model's output as zero."""
    layers = [block.norm1.linear for block in model.transformer_blocks]
    for layer in (*layers, model.proj_out_1, model.proj_out_2):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)


def generator_of(seed: int, step: int) -> torch.Generator:
    """Everything random in a step comes from this generator."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def learning_rate(step: int, steps: int, peak: float = 1e-3, warmup: int = 200) -> float:
    """Warm-up, then constant, then linearly to zero over the last third."""
    return peak * min(1.0, (step + 1) / warmup, 3 * (steps - step) / steps)


class Training:
    """Weights, their moving average and AdamW's moments, all in one safetensors file.

    Args:
        model: What is trained.
        path: The file. One that is there is gone on with, if its run had the same settings.
        settings: What the run depends on, by name; kept in the file.
    """

    def __init__(self, model: torch.nn.Module, path: Path, settings: dict[str, int]) -> None:
        self.parameters = dict(model.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01, betas=(0.9, 0.99))
        self.path = path
        self.settings = {name: str(value) for name, value in settings.items()}
        self.step = 0
        self.losses: list[float] = []  # of the last 200 steps
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self._load()

    def _load(self) -> None:
        with safe_open(self.path, "pt") as file:
            found = file.metadata() or {}
        if found != self.settings:
            asked = ", ".join(f"{name} {value}" for name, value in self.settings.items())
            got = ", ".join(f"{name} {found.get(name, 'not known')}" for name in self.settings)
            raise SystemExit(
                f"--state must be of a run with {asked}; got {self.path} of one with {got}: name "
                "another file, or remove this one to begin anew"
            )
        state = load_file(self.path)
        self.step, self.losses = int(state["step"]), state["losses"].tolist()
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(state[f"weight.{name}"])
                self.average[name].copy_(state[f"average.{name}"])
                self.optimizer.state[p] = {
                    "step": torch.tensor(float(self.step)),
                    "exp_avg": state[f"first.{name}"],
                    "exp_avg_sq": state[f"second.{name}"],
                }

    def save(self) -> None:
        state = {
            "step": torch.tensor(self.step),
            "losses": torch.tensor(self.losses, dtype=torch.float64),
        }
        for name, p in self.parameters.items():
            moments = self.optimizer.state[p]
            state[f"weight.{name}"] = p.detach().clone()
            state[f"average.{name}"] = self.average[name].clone()
            state[f"first.{name}"] = moments["exp_avg"].clone()
            state[f"second.{name}"] = moments["exp_avg_sq"].clone()
        partial = self.path.with_suffix(".partial")
        save_file(state, partial, self.settings)
        partial.replace(self.path)

    def update(self, loss: Tensor, rate: float) -> None:
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self.losses = [*self.losses[-199:], loss.item()]
        decay = min(0.999, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, p in self.parameters.items():
                self.average[name].lerp_(p, 1 - decay)

    def run(
        self,
        steps: int,
        loss_at: Callable[[int], Tensor],
        rate_at: Callable[[int, int], float] = learning_rate,
        every: int = 100,
        until: int | None = None,
    ) -> float:
        """Go on to the last step, or to an earlier one, saving now and then.

        Args:
            steps: Of the whole run.
            loss_at: The loss of a step.
            rate_at: The learning rate of a step of so many.
            every: Steps between two saves.
            until: The step to stop at for now; the state goes on from there. Default: the last.

        Returns:
            The mean loss of the last 200 steps. The model is left with the average of its weights.
        """
        start = time.perf_counter()
        last = steps if until is None else min(until, steps)
        while self.step < last:
            self.update(loss_at(self.step), rate_at(self.step, steps))
            if self.step % every == 0 or self.step == last:
                self.save()
                spent, loss = time.perf_counter() - start, np.mean(self.losses)
                print(f"{self.step} loss {loss:.5f} {spent:.0f} s", flush=True)
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(self.average[name])
        return round(float(np.mean(self.losses)), 5)
