"""Train the embedded model: a class-conditional DiT on scikit-learn's handwritten digits.

    python tools/train_digits.py     # 2,600 steps, three quarters of an hour on two cores

Every step draws its batch, noise and labels from a generator seeded with (seed, step), so a run
that was stopped goes on where it was; the state of a run with other settings is refused.
Activations are bfloat16, weights and moments float32. Training state and weights are safetensors;
nothing is pickled. `judge_digits.py` then measures the model and writes report.json.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DiTTransformer2DModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from judge_digits import FOLDER, NUM_CLASSES, digits, report


def build() -> tuple[DiTTransformer2DModel, DDIMScheduler]:
    model = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=64,
        in_channels=1,
        out_channels=1,
        num_layers=8,
        sample_size=32,
        patch_size=2,
        num_embeds_ada_norm=NUM_CLASSES,
        norm_type="ada_norm_zero",
    )
    for block in model.transformer_blocks:  # adaLN-Zero: every block starts as the identity
        torch.nn.init.zeros_(block.norm1.linear.weight)
        torch.nn.init.zeros_(block.norm1.linear.bias)
    for layer in (model.proj_out_1, model.proj_out_2):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    scheduler = DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        clip_sample=True,
    )
    return model, scheduler


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate by up to 8 degrees, scale by up to 8 %, shift by up to 2 pixels."""
    draw = torch.rand(len(images), 4, generator=generator) * 2 - 1
    angle, scale = draw[:, 0] * 0.14, 1 + draw[:, 1] * 0.08
    cos, sin = angle.cos() * scale, angle.sin() * scale
    shift = draw[:, 2:] * (2 / 16)
    rows = [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images + 1, grid, mode="bicubic", align_corners=False).clamp(0, 2) - 1


def loss_at(step: int, seed: int, batch: int, model, scheduler, images, labels) -> Tensor:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    index = torch.randint(len(images), (batch,), generator=generator)
    clean = augment(images[index], generator)
    noise = torch.randn(clean.shape, generator=generator)
    timestep = torch.randint(1000, (batch,), generator=generator)
    # The null class stands for "no class": classifier-free guidance needs both.
    dropped = torch.rand(batch, generator=generator) < 0.1
    label = torch.where(dropped, NUM_CLASSES, labels[index])
    noisy = scheduler.add_noise(clean, noise, timestep)
    target = scheduler.get_velocity(clean, noise, timestep)
    with torch.autocast("cpu", torch.bfloat16):
        prediction = model(noisy, timestep=timestep, class_labels=label).sample
    return F.mse_loss(prediction.float(), target)


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


def train(args: argparse.Namespace) -> dict:
    """Train, store weights and scheduler in diffusers' format, and say how it was done."""
    torch.manual_seed(args.seed)
    images, labels = digits()
    model, scheduler = build()
    model.eval()  # loss_at drops labels, for all blocks at once
    args.state.parent.mkdir(parents=True, exist_ok=True)
    settings = {"steps": args.steps, "batch": args.batch, "seed": args.seed}
    training = Training(model, args.state, settings)
    compiled = torch.compile(model)  # 15 % faster on a CPU: its GELU's backward is fused
    start = time.perf_counter()
    while training.step < args.steps:
        loss = loss_at(training.step, args.seed, args.batch, compiled, scheduler, images, labels)
        training.update(loss, learning_rate(training.step, args.steps))
        if training.step % 100 == 0 or training.step == args.steps:
            training.save()
            spent, loss = time.perf_counter() - start, np.mean(training.losses)
            print(f"{training.step} loss {loss:.5f} {spent:.0f} s", flush=True)
    with torch.no_grad():
        for name, p in training.parameters.items():
            p.copy_(training.average[name])
    model.save_pretrained(args.folder / "transformer")
    scheduler.save_pretrained(args.folder / "scheduler")
    return {**settings, "final_loss": round(float(np.mean(training.losses)), 5)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2600)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument(
        "--state",
        type=Path,
        default=Path("build/digits-training.safetensors"),
        help="where a run goes on that was stopped; one of other settings is refused",
    )
    parser.add_argument("--samples", type=int, default=300, help="generated digits to judge")
    args = parser.parse_args()
    report(args.folder, args.samples, train(args))


if __name__ == "__main__":
    main()
