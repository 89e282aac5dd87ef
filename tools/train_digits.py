"""Train the embedded model: a class-conditional DiT on scikit-learn's handwritten digits.

    python tools/train_digits.py     # 2,600 steps, three quarters of an hour on two cores

A run that was stopped goes on where it was (`training.py`). Activations are bfloat16, weights and
moments float32. `judge_digits.py` then measures the model and writes report.json.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DiTTransformer2DModel
from torch import Tensor

from judge_digits import FOLDER, NUM_CLASSES, digits, report
from training import Training, generator_of, start_as_identity


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
    start_as_identity(model)
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
    generator = generator_of(seed, step)
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


def train(args: argparse.Namespace) -> dict:
    """Train, store weights and scheduler in diffusers' format, and say how it was done."""
    torch.manual_seed(args.seed)
    images, labels = digits()
    model, scheduler = build()
    model.eval()  # loss_at drops labels, for all blocks at once
    settings = {"steps": args.steps, "batch": args.batch, "seed": args.seed}
    training = Training(model, args.state, settings)
    compiled = torch.compile(model)  # 15 % faster on a CPU: its GELU's backward is fused
    loss = training.run(
        args.steps,
        lambda step: loss_at(step, args.seed, args.batch, compiled, scheduler, images, labels),
    )
    model.save_pretrained(args.folder / "transformer")
    scheduler.save_pretrained(args.folder / "scheduler")
    return {**settings, "final_loss": loss}


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
