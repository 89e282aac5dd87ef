"""Train the network that judges the larger embedded model, on crops of the real pictures only.

    python tools/train_crop_network.py     # two minutes on one core

It learns to say of which picture, and which ninth of it, a crop is; noise on half of the crops
keeps it from reading single pixels. It stores its weights, and the principal directions of its
features on real crops, along which Frechet distances are measured.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from clusca_ext.demo.crop_network import PARTS, CropNetwork, parameter_shapes, scores
from clusca_ext.demo.features import Features, principal_directions
from clusca_ext.demo.picture_pipeline import FOLDER
from pictures import crops, pictures
from training import generator_of

STEPS, BATCH = 800, 64
REAL_CROPS = 4096  # of which principal directions are taken


def begin(generator: torch.Generator) -> dict[str, Tensor]:
    """He et al. (2015): weights that keep the variance of what passes a ReLU."""
    tensors = {}
    for name, shape in parameter_shapes().items():
        spread = (2 / max(1, torch.Size(shape[1:]).numel())) ** 0.5 if len(shape) > 1 else 0.0
        tensors[name] = (torch.randn(shape, generator=generator) * spread).requires_grad_()
    return tensors


def train(of: list[Tensor], steps: int) -> dict[str, Tensor]:
    tensors = begin(generator_of(0, 0))
    optimizer = torch.optim.AdamW(list(tensors.values()), weight_decay=1e-2)
    for step in range(steps):
        generator = generator_of(1, step)
        images, pictured, parts = crops(of, BATCH, generator)
        strength = (torch.rand(BATCH, 1, 1, 1, generator=generator) - 0.5).clamp(min=0) * 0.5
        images = images + strength * torch.randn(images.shape, generator=generator)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min((step + 1) / 50, 2 * (steps - step) / steps, 1.0)
        loss = F.cross_entropy(scores(tensors, images), pictured * PARTS + parts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 200 == 0:
            print(f"{step + 1} loss {loss:.4f}", flush=True)
    return {name: tensor.detach() for name, tensor in tensors.items()}


def store(folder: Path, steps: int) -> None:
    of = pictures()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(train(of, steps), folder / "classifier.safetensors")
    network = Features(CropNetwork(folder).maps, torch.empty(0))
    real, _, _ = crops(of, REAL_CROPS, generator_of(2, 0))
    pooled = torch.cat([network.pooled(part) for part in real.split(256)])
    directions = {"directions": principal_directions(pooled)}
    save_file(directions, folder / "directions.safetensors")


def accuracy(folder: Path) -> tuple[float, float]:
    """Shares of 1,024 other crops whose picture, and whose picture and part, it names."""
    network = CropNetwork(folder)
    images, pictured, parts = crops(pictures(), 1024, generator_of(3, 0))
    exact = network.part(images) == pictured * PARTS + parts
    return (network(images) == pictured).float().mean().item(), exact.float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    store(args.folder, args.steps)
    print("accuracy {:.4f}, with the part {:.4f}".format(*accuracy(args.folder)))


if __name__ == "__main__":
    main()
