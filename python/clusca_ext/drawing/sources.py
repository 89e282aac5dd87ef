"""Where pictures come from: an embedded model, a folder, or a pipeline of the hub."""

import importlib.util
import json
import logging
import pathlib
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
INDEX = "model_index.json"


class Unreachable(Exception):
    """A model of the hub could not be fetched; its words say why."""


@dataclass(frozen=True)
class Source:
    """A pipeline that draws.

    Attributes:
        name: What was asked for.
        pipeline: A pipeline of diffusers, or an embedded one.
        device: Where it runs.
        steps: Steps of its sampler, where it says how many it was judged with.
        labels: The numbers of its classes by name, where they have names.
        embedded: It takes ``seeds`` and returns a tensor in [-1, 1].
    """

    name: str
    pipeline: Any
    device: torch.device
    steps: int | None = None
    labels: Mapping[str, int] = field(default_factory=dict)
    embedded: bool = False


def open_source(
    name: str, device: str = "cpu", dtype: str | None = None, offload: bool = False
) -> Source:
    """The pipeline of a name, ready to draw.

    Weights are read from safetensors only: a checkpoint that has none but pickles is refused.

    Args:
        name: ``"digits"`` or ``"pictures"``; a folder; or owner/name on the Hugging Face Hub.
        device: Where it runs.
        dtype: Of its weights: ``"float32"``, ``"float16"`` or ``"bfloat16"``. Default: bfloat16 on
            a GPU, else float32.
        offload: Whether models stay on the host until they are called.

    Raises:
        ValueError: There is no such model, or it cannot be used like that.
        Unreachable: It is on the hub, which could not be reached.
    """
    from clusca_ext.lab.models import MODELS

    on = torch.device(device)
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {list(DTYPES)}, got {dtype!r}")
    if offload:
        _require_offload(on)
    folder = pathlib.Path(name)
    if name in MODELS or (folder.is_dir() and not (folder / INDEX).is_file()):
        if offload or dtype not in (None, "float32"):
            raise ValueError(f"{name} runs in float32 and without offload, as it was trained")
        return _embedded(name, on)
    if not folder.is_dir() and not HUB_NAME.fullmatch(name):
        raise ValueError(
            f"model must be one of {list(MODELS)}, a folder of a pipeline, or owner/name on the "
            f"Hugging Face Hub, got {name!r}"
        )
    chosen = DTYPES[dtype or ("bfloat16" if on.type == "cuda" else "float32")]
    pipeline = _loaded(name, chosen)
    if offload:
        pipeline.enable_model_cpu_offload(device=on)
    else:
        pipeline.to(on)
    return Source(name, pipeline, on, labels=dict(getattr(pipeline, "labels", None) or {}))


def _require_offload(device: torch.device) -> None:
    if device.type != "cuda":
        raise ValueError(f"offload needs a GPU that models are moved to, got device {device}")
    if importlib.util.find_spec("accelerate") is None:
        raise ValueError('offload needs accelerate: pip install "clusca_ext[run]"')


def _embedded(name: str, device: torch.device) -> Source:
    from clusca_ext.lab.models import MODELS, open_embedded

    try:
        pipeline, entry = open_embedded(name)
    except ValueError as error:
        if name in MODELS:
            raise
        raise ValueError(
            f"{name} must hold a pipeline ({INDEX}) or a model like an embedded one: {error}"
        ) from None
    return _of_entry(name, pipeline, entry, device)


def _of_entry(name: str, pipeline: Any, entry: Any, device: torch.device) -> Source:
    from clusca_ext.demo.picture_pipeline import NAMES, PicturesPipeline

    names = NAMES if isinstance(pipeline, PicturesPipeline) else ()
    labels = {word: number for number, word in enumerate(names)}
    pipeline.to(device)
    return Source(name, pipeline, device, entry.steps, labels, embedded=True)


def _loaded(name: str, dtype: torch.dtype) -> Any:
    """A pipeline of diffusers. Code of a checkpoint's own is never run."""
    from diffusers import DiffusionPipeline

    _require_known(pathlib.Path(name))
    try:
        with quietly():
            return DiffusionPipeline.from_pretrained(name, torch_dtype=dtype, use_safetensors=True)
    except Exception as error:  # diffusers, transformers, the hub and safetensors raise many kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        if pathlib.Path(name).is_dir():
            raise ValueError(f"{name} cannot be loaded: {reason}") from error
        raise hub_error(name, error) from error


@contextmanager
def quietly() -> Iterator[None]:
    """What libraries say of names that change, and of every try to connect, is not for users."""
    from diffusers.utils import logging as of_diffusers
    from huggingface_hub.utils import logging as of_hub

    before = of_diffusers.get_verbosity(), of_hub.get_verbosity()
    of_diffusers.set_verbosity(logging.ERROR)
    of_hub.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        of_diffusers.set_verbosity(before[0])
        of_hub.set_verbosity(before[1])


def _require_known(folder: pathlib.Path) -> None:
    """A folder's pipeline is diffusers' own, which else would look for its code on the hub.

    Its text encoders are transformers' models: say so before they cannot be imported.
    """
    import diffusers

    index = folder / INDEX
    if not index.is_file():
        return
    try:
        parts = json.loads(index.read_text("utf-8"))
        cls = parts.get("_class_name")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{index} must be a JSON file of a pipeline: {error}") from None
    if not isinstance(cls, str) or not hasattr(diffusers, cls):
        raise ValueError(f"{index} must name a pipeline of diffusers, got {cls!r}")
    if importlib.util.find_spec("transformers") is not None:
        return
    if any(isinstance(part, list) and part[:1] == ["transformers"] for part in parts.values()):
        raise ValueError(f'{folder} needs transformers: pip install "clusca_ext[run]"')


def hub_error(name: str, error: Exception) -> Exception:
    """What to tell of a hub's model that could not be fetched."""
    from huggingface_hub import errors

    causes: list[BaseException] = [error]
    while causes[-1].__cause__ or causes[-1].__context__:
        causes.append(causes[-1].__cause__ or causes[-1].__context__)  # type: ignore[arg-type]
        if len(causes) > 20:
            break
    if any(isinstance(each, errors.GatedRepoError) for each in causes):
        return Unreachable(f"{name} asks for its licence to be accepted: do so on its page, log in")
    if any(isinstance(each, errors.RepositoryNotFoundError) for each in causes):
        return ValueError(f"model: there is no {name} on the Hugging Face Hub, or it is private")
    offline = (
        errors.LocalEntryNotFoundError,
        errors.OfflineModeIsEnabled,
        errors.HfHubHTTPError,
        ConnectionError,
        TimeoutError,
    )
    words = " ".join(str(error).split()) or type(error).__name__
    if any(isinstance(each, offline) for each in causes) or _is_of_network(causes):
        return Unreachable(
            f"{name} is not in the local cache and the Hugging Face Hub cannot be reached: connect "
            "to the network, or give a folder that holds it"
        )
    return ValueError(f"{name} cannot be loaded: {words}")


def _is_of_network(causes: list[BaseException]) -> bool:
    """The clients that the hub's library uses have errors of their own for a missing network."""
    names = {name for each in causes for name in (kind.__name__ for kind in type(each).__mro__)}
    return bool(names & {"ConnectionError", "TransportError", "ConnectError", "ProxyError"})
