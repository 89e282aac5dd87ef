"""The pictures that the wheels of scikit-image and scikit-learn hold, and crops of them.

Nothing is downloaded: every file is opened where the package was installed.
"""

from pathlib import Path

import numpy as np
import skimage
import sklearn
import torch
from PIL import Image
from torch import Tensor

SKIMAGE, SKLEARN = Path(skimage.__file__).parent, Path(sklearn.__file__).parent
SIZE = 64
SHORT_SIDE = 80

# Class, file, and what the package says of its licence.
PICTURES = {
    "astronaut": (SKIMAGE / "data/astronaut.png", "NASA; public domain"),
    "cat": (SKIMAGE / "data/chelsea.png", "Stefan van der Walt; CC0"),
    "coffee": (SKIMAGE / "data/coffee.png", "Rachel Michetti; CC0"),
    "rocket": (SKIMAGE / "data/rocket.jpg", "SpaceX; public domain"),
    "retina": (SKIMAGE / "data/retina.jpg", "Mikael Häggström; CC0"),
    "china": (SKLEARN / "datasets/images/china.jpg", "danielbuechele; CC BY 2.0"),
    "flower": (SKLEARN / "datasets/images/flower.jpg", "danielbuechele; CC BY 2.0"),
}


def pictures() -> list[Tensor]:
    """Every picture, its short side brought to 80 pixels, in [-1, 1]. Each [3, H, W]"""
    found = []
    for path, _ in PICTURES.values():
        picture = Image.open(path).convert("RGB")
        scale = SHORT_SIDE / min(picture.size)
        size = tuple(round(side * scale) for side in picture.size)
        pixels = np.asarray(picture.resize(size, Image.Resampling.LANCZOS))
        found.append(torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1)
    return found


def crops(
    of: list[Tensor], count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Crops at random places of random pictures.

    Returns:
        The crops [M, 3, 64, 64], the picture of each [M], and the place of its upper left corner in
        thirds of what is possible, 3 * row + column [M].
    """
    labels = torch.randint(len(of), (count,), generator=generator)
    places = torch.rand(count, 2, generator=generator)
    images, parts = [], []
    for label, (down, right) in zip(labels.tolist(), places.tolist(), strict=True):
        picture = of[label]
        height, width = (side - SIZE + 1 for side in picture.shape[1:])
        top, left = int(down * height), int(right * width)
        images.append(picture[:, top : top + SIZE, left : left + SIZE])
        parts.append(3 * int(3 * down) + int(3 * right))
    return torch.stack(images), labels, torch.tensor(parts)
