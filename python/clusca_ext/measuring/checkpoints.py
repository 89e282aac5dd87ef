"""A model's class and configuration by name: no weights are fetched, and none are made."""

import inspect
import json
import pathlib
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from torch import nn

from clusca_ext.drawing.sources import HUB_NAME, INDEX, hub_error, quietly
from clusca_ext.measuring.models import Model, make
from clusca_ext.measuring.sizes import FAMILIES, SIZES, Sized

EMBEDDED = ("digits", "pictures")


@dataclass(frozen=True)
class Described:
    """A model at a size, on the device "meta".

    Attributes:
        name: What was asked for.
        size: Width and height in pixels.
        frames: Of a video; 1: a picture.
        at_size: Its inputs at that size.
        sized: How its class is sized.
        model: The model, which takes no memory.
        count: Models of this kind in the pipeline, each of which runs a part of the steps.
    """

    name: str
    size: tuple[int, int]
    frames: int
    at_size: Model
    sized: Sized
    model: nn.Module
    count: int = 1

    @property
    def weights(self) -> int:
        """Bytes of the weights of all these models."""
        return self.count * sum(each.nbytes for each in self.model.parameters())


def describe_checkpoint(
    name: str, size: tuple[int, int] | None, frames: int | None, dtype: torch.dtype
) -> Described:
    """A model by name.

    Args:
        name: One of ``FAMILIES``, an embedded model, a folder of a pipeline or of its transformer,
            or owner/name on the hub, of which the configuration is fetched.
        size: Width and height in pixels; default: the class's usual one.
        frames: Of a video; default: the class's usual number.
        dtype: Of its weights.

    Raises:
        ValueError: There is no such model, or its class or size is not known.
        Unreachable: The hub cannot be reached.
    """
    cls, config, count = _class_of(name)
    scale = 1 if name in EMBEDDED else 8  # those have no autoencoder: they draw pixels
    if cls not in SIZES:
        raise ValueError(f"model must be of one of {list(SIZES)}, got {cls}")
    sized = SIZES[cls]
    if frames is not None and sized.frames == 1:
        raise ValueError(f"frames are not taken by {cls}, which draws pictures")
    default = sized.width, sized.height
    if cls == "DiTTransformer2DModel":
        if name in FAMILIES:  # it was trained at several sizes, each with weights of its own
            config["sample_size"] = (size or default)[0] // 8
        default = (scale * config.get("sample_size", 32),) * 2
    width, height = size or default
    for side, value in (("width", width), ("height", height)):
        if value % 16:
            raise ValueError(f"size must be multiples of 16 pixels, got a {side} of {value}")
    made_frames = sized.frames if frames is None else frames
    at_size = sized.make(config, 8 // scale * width, 8 // scale * height, made_frames)
    model = make(at_size, "meta", dtype)
    return Described(name, (width, height), made_frames, at_size, sized, model, count)


def _class_of(name: str) -> tuple[str, dict[str, Any], int]:
    """Class, configuration, and how many of them there are."""
    if name in FAMILIES:
        cls, config = FAMILIES[name]
        return cls, dict(config), 1
    if name in EMBEDDED:
        name = str(pathlib.Path(__file__).parents[1] / "demo" / name)
    folder = pathlib.Path(name)
    if not folder.is_dir():
        if not HUB_NAME.fullmatch(name):
            raise ValueError(
                f"model must be one of {[*FAMILIES, *EMBEDDED]}, a folder, or owner/name on the "
                f"Hugging Face Hub, got {name!r}"
            )
        return _of_hub(name)
    count = 1
    if (folder / INDEX).is_file():
        count = _count(_json(folder / INDEX))
    for path in (folder / "transformer" / "config.json", folder / "config.json"):
        if path.is_file():
            return (*_plain(_json(path), str(path)), count)
    raise ValueError(f"{folder} must hold transformer/config.json or config.json")


def _of_hub(name: str) -> tuple[str, dict[str, Any], int]:
    from huggingface_hub import hf_hub_download

    try:
        with quietly():
            index = pathlib.Path(hf_hub_download(name, INDEX))
            path = pathlib.Path(hf_hub_download(name, "transformer/config.json"))
    except Exception as error:  # the hub's client raises many kinds
        raise hub_error(name, error) from error
    return (*_plain(_json(path), name), _count(_json(index)))


def _json(path: pathlib.Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except ValueError as error:  # neither JSON nor UTF-8
        raise ValueError(f"{path} must be a JSON file: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(values).__name__}")
    return values


def _count(index: dict[str, Any]) -> int:
    second = index.get("transformer_2") or [None]
    return 2 if second[0] else 1


def _plain(values: dict[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    """Class, and of its configuration what the installed diffusers knows."""
    cls = values.get("_class_name")
    if not isinstance(cls, str) or not hasattr(diffusers, cls):
        raise ValueError(f"{where} must name a class of diffusers, got {cls!r}")
    known = inspect.signature(getattr(diffusers, cls).__init__).parameters
    return cls, {key: value for key, value in values.items() if key in known}
