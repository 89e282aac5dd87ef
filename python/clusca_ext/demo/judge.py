"""What pictures are judged by: distance to the full sampler, and whether a digit is recognised."""

import math
import pathlib
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from clusca_ext.demo.pipeline import FOLDER, NUM_CLASSES

HIGHEST = 120.0  # dB; of equal pictures, whose distance is 0


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

    Raises:
        ValueError: The folder does not hold such a classifier, or its file is damaged.
    """

    def __init__(self, folder: pathlib.Path = FOLDER) -> None:
        path = folder / "classifier.safetensors"
        try:
            self._tensors = load_file(path)
            shape = list(self._scores(torch.zeros(1, 1, 32, 32)).shape)
            reason = "" if shape == [1, NUM_CLASSES] else f"got scores of shape {shape} for one"
        except Exception as error:  # safetensors raises many kinds, torch one for every misfit
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
        if reason:
            raise ValueError(
                f"{path} must hold a classifier's weight_0, bias_0 and so on, which score images "
                f"as {NUM_CLASSES} digits: {reason}"
            )

    def __call__(self, images: Tensor) -> Tensor:
        """The digit of each image. [B, 1, 32, 32] to [B]"""
        return self._scores(images).argmax(1)

    def hidden(self, images: Tensor) -> Tensor:
        """What the last layer reads of each image. [B, 1, 32, 32] to [B, 128]"""
        rows = ((F.avg_pool2d(images, 4).flatten(1) + 1) / 2).clamp(0, 1)
        for i in range(len(self._tensors) // 2 - 1):
            rows = (rows @ self._tensors[f"weight_{i}"] + self._tensors[f"bias_{i}"]).relu()
        return rows

    def _scores(self, images: Tensor) -> Tensor:
        """Of each image for each digit. [B, 10]"""
        last = len(self._tensors) // 2 - 1
        return self.hidden(images) @ self._tensors[f"weight_{last}"] + self._tensors[f"bias_{last}"]
