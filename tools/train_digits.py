"""Train the embedded model: a class-conditional DiT on scikit-learn's handwritten digits.

    python tools/train_digits.py                 # 4,000 steps, about two hours on two cores
    python tools/train_digits.py --report-only   # measure the model that is there

Every step draws its batch, noise and labels from a generator seeded with (seed, step), so a run
that was stopped goes on where it was and ends with the same weights. Training state, weights and
report are safetensors and JSON; nothing is pickled.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DiTTransformer2DModel
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from torch import Tensor

NUM_CLASSES = 10
GUIDANCE = 2.0
FOLDER = Path(__file__).parents[1] / "python/clusca_ext/demo/digits"


def digits() -> tuple[Tensor, Tensor]:
    """The 1,797 real digits, brought from 8 x 8 to 32 x 32: images [M, 1, 32, 32] in [-1, 1]."""
    data = load_digits()
    small = torch.from_numpy(data.images).float().unsqueeze(1) / 16
    images = F.interpolate(small, size=(32, 32), mode="bicubic", align_corners=False).clamp(0, 1)
    return images * 2 - 1, torch.from_numpy(data.target).long()


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
    prediction = model(noisy, timestep=timestep, class_labels=label).sample
    return F.mse_loss(prediction, target)


def learning_rate(step: int, steps: int, peak: float = 1e-3, warmup: int = 200) -> float:
    """Warm-up, then constant, then linearly to zero over the last third."""
    return peak * min(1.0, (step + 1) / warmup, 3 * (steps - step) / steps)


class Training:
    """Weights, their moving average and AdamW's moments, all in one safetensors file."""

    def __init__(self, model: torch.nn.Module, path: Path) -> None:
        self.parameters = dict(model.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01, betas=(0.9, 0.99))
        self.path = path
        self.step = 0
        if path.exists():
            self._load()

    def _load(self) -> None:
        state = load_file(self.path)
        self.step = int(state["step"])
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
        state = {"step": torch.tensor(self.step)}
        for name, p in self.parameters.items():
            moments = self.optimizer.state[p]
            state[f"weight.{name}"] = p.detach().clone()
            state[f"average.{name}"] = self.average[name].clone()
            state[f"first.{name}"] = moments["exp_avg"].clone()
            state[f"second.{name}"] = moments["exp_avg_sq"].clone()
        partial = self.path.with_suffix(".partial")
        save_file(state, partial)
        partial.replace(self.path)

    def update(self, loss: Tensor, rate: float) -> None:
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        decay = min(0.999, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, p in self.parameters.items():
                self.average[name].lerp_(p, 1 - decay)


@torch.inference_mode()
def sample(model, scheduler, labels: Tensor, seed: int, steps: int = 50) -> Tensor:
    scheduler.set_timesteps(steps)
    images = torch.randn(len(labels), 1, 32, 32, generator=torch.Generator().manual_seed(seed))
    both = torch.cat([labels, torch.full_like(labels, NUM_CLASSES)])
    for timestep in scheduler.timesteps:
        out = model(torch.cat([images] * 2), timestep=timestep.expand(len(both)), class_labels=both)
        cond, uncond = out.sample.chunk(2)
        images = scheduler.step(uncond + GUIDANCE * (cond - uncond), timestep, images).prev_sample
    return images


def pixels(images: Tensor) -> np.ndarray:
    """What the classifier sees: the mean of every 4 x 4 patch, as 64 numbers in [0, 1]."""
    return ((F.avg_pool2d(images, 4).flatten(1) + 1) / 2).clamp(0, 1).numpy()


def classifier(images: Tensor, labels: Tensor) -> tuple[MLPClassifier, float]:
    """An independent judge: scikit-learn's MLP, trained on real digits only; and its accuracy."""
    split = train_test_split(pixels(images), labels.numpy(), test_size=0.25, random_state=0)
    train, test, train_labels, test_labels = split
    judge = MLPClassifier((128,), alpha=1e-2, max_iter=600, random_state=0)
    judge.fit(train, train_labels)
    return judge, float(judge.score(test, test_labels))


def store(judge: MLPClassifier, folder: Path) -> None:
    """The classifier's weights as tensors, for a demo without scikit-learn."""
    arrays = {f"weight_{i}": w for i, w in enumerate(judge.coefs_)}
    arrays |= {f"bias_{i}": b for i, b in enumerate(judge.intercepts_)}
    tensors = {name: torch.tensor(a, dtype=torch.float32) for name, a in arrays.items()}
    save_file(tensors, folder / "classifier.safetensors")


def report(folder: Path, images: Tensor, labels: Tensor, samples: int, details: dict) -> None:
    model = DiTTransformer2DModel.from_pretrained(folder / "transformer").eval()
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    judge, accuracy = classifier(images, labels)
    store(judge, folder)
    asked = torch.arange(samples) % NUM_CLASSES
    made = torch.cat(
        [sample(model, scheduler, part, seed=i) for i, part in enumerate(asked.split(50))]
    )
    right = torch.from_numpy(judge.predict(pixels(made))) == asked
    tiles = made[:100].view(10, 10, 32, 32).permute(0, 2, 1, 3).reshape(320, 320)
    Image.fromarray(((tiles + 1) * 127.5).byte().numpy()).save(folder / "samples.png")
    details |= {
        "data": "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine "
        "Learning Repository (1998), CC BY 4.0; the copy scikit-learn ships",
        "parameters": sum(p.numel() for p in model.parameters()),
        "sampler": f"DDIM, 50 steps, guidance {GUIDANCE}",
        "samples": samples,
        "recognised_as_asked": float(right.float().mean()),
        "recognised_per_class": [float(right[asked == c].float().mean()) for c in range(10)],
        "classifier": "sklearn MLPClassifier((128,)), trained on 75 % of the real digits",
        "classifier_accuracy_on_held_out_digits": accuracy,
    }
    (folder / "report.json").write_text(json.dumps(details, indent=2) + "\n")
    print(json.dumps(details, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--state", type=Path, default=Path("build/digits-training.safetensors"))
    parser.add_argument("--samples", type=int, default=500, help="generated digits to judge")
    parser.add_argument("--report-only", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    images, labels = digits()
    args.folder.mkdir(parents=True, exist_ok=True)
    details: dict = {}
    if args.report_only:
        old = json.loads((args.folder / "report.json").read_text())
        details = {key: old[key] for key in ("steps", "batch", "seed", "final_loss")}
    else:
        args.state.parent.mkdir(parents=True, exist_ok=True)
        model, scheduler = build()
        model.eval()  # loss_at drops labels, for all blocks at once
        training = Training(model, args.state)
        recent: list[float] = []
        start = time.perf_counter()
        while training.step < args.steps:
            loss = loss_at(training.step, args.seed, args.batch, model, scheduler, images, labels)
            training.update(loss, learning_rate(training.step, args.steps))
            recent = [*recent[-199:], loss.item()]
            if training.step % 100 == 0:
                training.save()
                spent = time.perf_counter() - start
                print(f"{training.step} loss {np.mean(recent):.5f} {spent:.0f} s", flush=True)
        with torch.no_grad():
            for name, p in training.parameters.items():
                p.copy_(training.average[name])
        model.save_pretrained(args.folder / "transformer")
        scheduler.save_pretrained(args.folder / "scheduler")
        details = {"steps": args.steps, "batch": args.batch, "seed": args.seed}
        details["final_loss"] = round(float(np.mean(recent)), 5)
    report(args.folder, images, labels, args.samples, details)


if __name__ == "__main__":
    main()
