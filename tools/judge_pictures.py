"""Measure the larger embedded model, and let a network that knows real crops only judge it.

    python tools/judge_pictures.py --folder python/clusca_ext/demo/pictures

Writes report.json and samples.png beside the model. `train_crop_network.py` comes first.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clusca_ext.demo.crop_network import CropNetwork
from clusca_ext.demo.features import picture_features
from clusca_ext.demo.picture_pipeline import FOLDER, NAMES, PicturesPipeline, load_pictures
from pictures import PICTURES, SHORT_SIDE, SIZE, crops, pictures
from train_crop_network import accuracy
from train_pictures import loss_of
from training import generator_of

HELD_OUT = 1_000  # seeds of noise and crops that no training step drew


@torch.no_grad()
def held_out_loss(pipeline: PicturesPipeline, of: list[Tensor], rounds: int) -> float:
    """The training's loss on other noise, of the weights as stored."""
    losses = [
        loss_of(pipeline.transformer, pipeline.scheduler, 32, of, generator_of(HELD_OUT, i))
        for i in range(rounds)
    ]
    return torch.stack(losses).mean().item()


def draw(pipeline: PicturesPipeline, labels: list[int], steps: int) -> Tensor:
    """One sample a label, seeds 0, 1, 2 and so on. [M, 3, 64, 64]"""
    parts = range(0, len(labels), 32)
    return torch.cat(
        [pipeline(labels[i : i + 32], range(i, min(i + 32, len(labels))), steps) for i in parts]
    )


def nearest_crop(images: Tensor, labels: list[int], of: list[Tensor]) -> float:
    """Mean PSNR in decibels to the crop of the picture asked for that is nearest in pixels."""
    decibels = []
    for label, picture in enumerate(of):
        places = picture.unfold(1, SIZE, 1).unfold(2, SIZE, 1).permute(1, 2, 0, 3, 4)
        rows = places.reshape(-1, 3 * SIZE * SIZE)
        mine = images[torch.tensor(labels) == label].flatten(1)
        error = torch.cdist(mine, rows).square().min(1).values / rows.shape[1]
        decibels.append(10 * torch.log10(4 / error))
    return torch.cat(decibels).mean().item()


def balanced(of: list[Tensor], count: int, seed: int) -> Tensor:
    """Real crops, the same number of each picture; about so many. [M, 3, 64, 64]"""
    images, labels, _ = crops(of, 2 * count, generator_of(seed, 0))
    each = min(count // len(of), int(labels.bincount(minlength=len(of)).min()))
    return torch.cat([images[labels == c][:each] for c in range(len(of))])


def grid(images: Tensor, columns: int) -> Image.Image:
    """Columns of samples, a row a class."""
    rows = images.unflatten(0, (-1, columns)).permute(0, 3, 1, 4, 2)
    pixels = rows.reshape(-1, columns * SIZE, 3)
    return Image.fromarray(((pixels + 1) * 127.5).byte().numpy())


def report(folder: Path, samples: int, steps: int, training: dict) -> None:
    of = pictures()
    pipeline = load_pictures(folder)
    pipeline.set_progress_bar_config(disable=True)
    labels = (np.arange(samples) % len(NAMES)).tolist()
    made = draw(pipeline, labels, steps)
    asked = torch.tensor(labels)
    right = CropNetwork(folder)(made) == asked
    columns = min(10, samples // len(NAMES))
    shown = torch.cat([made[asked == c][:columns] for c in range(len(NAMES))])
    grid(shown, columns).save(folder / "samples.png")
    features = picture_features(folder)
    real, other = balanced(of, 1024, HELD_OUT + 1), balanced(of, samples, HELD_OUT + 2)
    noise = torch.randn(made.shape, generator=generator_of(HELD_OUT + 3, 0)).clamp(-1, 1)
    picture, part = accuracy(folder)
    details = {
        "training": training,
        "under_trained": training["steps_done"] < training["steps"],
        "data": {name: licence for name, (_, licence) in PICTURES.items()},
        "data_from": "crops of 64 x 64 of pictures that the wheels of scikit-image and "
        f"scikit-learn hold, their short side brought to {SHORT_SIDE} pixels",
        "parameters": sum(p.numel() for p in pipeline.transformer.parameters()),
        "sampler": f"Euler on a rectified flow, {steps} steps, guidance {pipeline.guidance}",
        "held_out_loss": round(held_out_loss(pipeline, of, 8), 5),
        "samples": samples,
        "recognised_as_asked": round(right.float().mean().item(), 4),
        "recognised_per_class": {
            name: round(right[asked == c].float().mean().item(), 3) for c, name in enumerate(NAMES)
        },
        "psnr_to_nearest_crop": round(nearest_crop(made, labels, of), 2),
        "psnr_of_noise_to_nearest_crop": round(nearest_crop(noise, labels, of), 2),
        "frechet_to_real_crops": round(features.frechet(made, real), 2),
        "frechet_of_so_many_other_real_crops": round(features.frechet(other, real), 2),
        "frechet_of_noise": round(features.frechet(noise, real), 2),
        "classifier": "CNN trained on real crops only (tools/train_crop_network.py)",
        "classifier_accuracy_on_other_crops": round(picture, 4),
        "classifier_accuracy_with_the_part": round(part, 4),
    }
    (folder / "report.json").write_text(json.dumps(details, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(details, indent=2, ensure_ascii=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--samples", type=int, default=140, help="generated crops to judge")
    parser.add_argument("--steps", type=int, default=50, help="steps of the sampler")
    args = parser.parse_args()
    training = json.loads((args.folder / "training.json").read_text())
    report(args.folder, args.samples, args.steps, training)


if __name__ == "__main__":
    main()
