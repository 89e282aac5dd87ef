"""What pictures are judged by: distance to the full sampler, and whether a digit is recognised."""

import math
import pathlib
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from clusca_ext.demo.pipeline import FOLDER


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error."""

    mean: float
    error: float

    def __format__(self, sign: str) -> str:
        return f"{self.mean:{sign}.2f} ±{self.error:.2f}"


def estimate(values: Tensor) -> Estimate:
    deviation = values.std().item() if len(values) > 1 else math.nan
    return Estimate(values.mean().item(), deviation / math.sqrt(len(values)))


def psnr(images: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in decibels, for values in [-1, 1]. [B]"""
    error = (images - reference).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error)


class Classifier:
    """scikit-learn's ``MLPClassifier``, trained on real digits only, its weights as tensors.

    It knows nothing of the generator; ``tools/judge_digits.py`` trained and stored it.
    """

    def __init__(self, folder: pathlib.Path = FOLDER) -> None:
        self._tensors = load_file(folder / "classifier.safetensors")

    def __call__(self, images: Tensor) -> Tensor:
        """The digit of each image. [B, 1, 32, 32] to [B]"""
        rows = ((F.avg_pool2d(images, 4).flatten(1) + 1) / 2).clamp(0, 1)
        last = len(self._tensors) // 2 - 1
        for i in range(last + 1):
            rows = rows @ self._tensors[f"weight_{i}"] + self._tensors[f"bias_{i}"]
            rows = rows if i == last else rows.relu()
        return rows.argmax(1)
