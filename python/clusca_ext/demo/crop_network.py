"""A small convolutional network that says of which picture, and which part of it, a crop is.

It knows nothing of the generator; ``tools/train_crop_network.py`` trained it on real crops and
stored it. The part is asked for so that its features tell shapes apart, not colours alone.
"""

import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from clusca_ext.demo.picture_pipeline import FOLDER, NAMES

PARTS = 9  # thirds of a picture's height times thirds of its width
CHANNELS = (3, 24, 48, 64, 96)


def parameter_shapes() -> dict[str, tuple[int, ...]]:
    """Four convolutions of 3 x 3 with stride 2, and a linear layer on the last one's mean."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i, (ins, outs) in enumerate(zip(CHANNELS[:-1], CHANNELS[1:], strict=True)):
        shapes |= {f"weight_{i}": (outs, ins, 3, 3), f"bias_{i}": (outs,)}
    last, scores = len(CHANNELS) - 1, len(NAMES) * PARTS
    return shapes | {f"weight_{last}": (scores, CHANNELS[-1]), f"bias_{last}": (scores,)}


def feature_maps(tensors: dict[str, Tensor], images: Tensor) -> list[Tensor]:
    """What every convolution yields of images [B, 3, H, W]; each [B, D, h, w], half as high."""
    maps = [images]
    for i in range(len(CHANNELS) - 1):
        weight, bias = tensors[f"weight_{i}"], tensors[f"bias_{i}"]
        maps.append(F.conv2d(maps[-1], weight, bias, stride=2, padding=1).relu())
    return maps[1:]


def scores(tensors: dict[str, Tensor], images: Tensor) -> Tensor:
    """Of every part of every picture. [B, 63]"""
    last = len(CHANNELS) - 1
    pooled = feature_maps(tensors, images)[-1].flatten(2).mean(2)
    return F.linear(pooled, tensors[f"weight_{last}"], tensors[f"bias_{last}"])


class CropNetwork:
    """The stored network.

    Raises:
        ValueError: The folder does not hold such a network, or its file is damaged.
    """

    def __init__(self, folder: pathlib.Path = FOLDER) -> None:
        path = folder / "classifier.safetensors"
        demand = parameter_shapes()
        try:
            self._tensors = load_file(path)
            found = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
            wrong = [name for name in demand | found if demand.get(name) != found.get(name)]
            reason = f"got {found.get(wrong[0])} for {wrong[0]}" if wrong else ""
        except Exception as error:  # safetensors raises many kinds
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
        if reason:
            raise ValueError(f"{path} must hold weight_0, bias_0 and so on of {demand}: {reason}")

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """The picture of each crop. [B, 3, 64, 64] to [B]"""
        found = scores(self._tensors, images.float().cpu())
        by_part = found.reshape(len(images), len(NAMES), PARTS)
        return by_part.logsumexp(2).argmax(1)

    @torch.no_grad()
    def part(self, images: Tensor) -> Tensor:
        """The picture times 9 plus the part of it. [B, 3, 64, 64] to [B]"""
        return scores(self._tensors, images.float().cpu()).argmax(1)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps of its four convolutions. [B, 3, 64, 64] to [B, D, h, w] each"""
        return feature_maps(self._tensors, images)
