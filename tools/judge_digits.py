"""Measure the embedded model: sample digits and let an independent classifier read them.

    python tools/judge_digits.py --folder python/clusca_ext/demo/digits

Writes report.json, samples.png, the classifier's weights and the principal directions of what it
sees beside the model.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DiTTransformer2DModel
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from torch import Tensor

from clusca_ext.demo.features import principal_directions
from clusca_ext.demo.judge import Classifier

NUM_CLASSES = 10
GUIDANCE = 1.25
FOLDER = Path(__file__).parents[1] / "python/clusca_ext/demo/digits"


def digits() -> tuple[Tensor, Tensor]:
    """The 1,797 real digits, brought from 8 x 8 to 32 x 32: images [M, 1, 32, 32] in [-1, 1]."""
    data = load_digits()
    small = torch.from_numpy(data.images).float().unsqueeze(1) / 16
    images = F.interpolate(small, size=(32, 32), mode="bicubic", align_corners=False).clamp(0, 1)
    return images * 2 - 1, torch.from_numpy(data.target).long()


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


def store_directions(images: Tensor, folder: Path) -> None:
    """Principal directions of the classifier's hidden layer on the real digits."""
    directions = principal_directions(Classifier(folder).hidden(images))
    save_file({"directions": directions}, folder / "directions.safetensors")


def report(folder: Path, samples: int, training: dict) -> None:
    images, labels = digits()
    model = DiTTransformer2DModel.from_pretrained(folder / "transformer").eval()
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    judge, accuracy = classifier(images, labels)
    store(judge, folder)
    store_directions(images, folder)
    asked = torch.arange(samples) % NUM_CLASSES
    made = torch.cat(
        [sample(model, scheduler, part, seed=i) for i, part in enumerate(asked.split(50))]
    )
    right = torch.from_numpy(judge.predict(pixels(made))) == asked
    tiles = made[:100].view(10, 10, 32, 32).permute(0, 2, 1, 3).reshape(320, 320)
    Image.fromarray(((tiles + 1) * 127.5).byte().numpy()).save(folder / "samples.png")
    details = {
        "training": training,
        "data": "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine "
        "Learning Repository (1998), CC BY 4.0; the copy scikit-learn ships",
        "parameters": sum(p.numel() for p in model.parameters()),
        "sampler": f"DDIM, 50 steps, guidance {GUIDANCE}",
        "samples": samples,
        "recognised_as_asked": round(right.float().mean().item(), 4),
        "recognised_per_class": [
            round(right[asked == c].float().mean().item(), 3) for c in range(NUM_CLASSES)
        ],
        "classifier": "sklearn MLPClassifier((128,)), trained on 75 % of the real digits",
        "classifier_accuracy_on_held_out_digits": round(accuracy, 4),
    }
    (folder / "report.json").write_text(json.dumps(details, indent=2) + "\n")
    print(json.dumps(details, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--samples", type=int, default=300, help="generated digits to judge")
    args = parser.parse_args()
    old = json.loads((args.folder / "report.json").read_text())
    report(args.folder, args.samples, old["training"])


if __name__ == "__main__":
    main()
