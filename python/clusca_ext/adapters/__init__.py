"""WHICH MODEL: adapters describe the blocks of a model family; the executor runs them."""

from collections.abc import Callable
from typing import Any

from torch import nn

from clusca_ext.adapters import (
    cogvideox,
    dit,
    flux,
    flux2,
    hunyuan_video,
    hunyuan_video15,
    hunyuan_video_framepack,
    ltx,
    mochi,
    pixart,
    qwen_image,
    sd3,
    wan,
    wan_vace,
    z_image,
)
from clusca_ext.adapters.description import ModelDescription
from clusca_ext.adapters.generic import BlockAdapter

__all__ = ["BlockAdapter", "describe", "register_adapter", "supported"]

Describe = Callable[[Any], ModelDescription]

_FAMILIES = (
    dit,
    pixart,
    sd3,
    flux,
    flux2,
    qwen_image,
    z_image,
    hunyuan_video,
    hunyuan_video15,
    hunyuan_video_framepack,
    wan,
    wan_vace,
    cogvideox,
    ltx,
    mochi,
)
PAPERS = {dit.MODEL: "dit", flux.MODEL: "flux", hunyuan_video.MODEL: "hunyuan_video"}
_DESCRIBE: dict[str, Describe] = {family.MODEL: family.describe for family in _FAMILIES}


class Supported(tuple[str, ...]):
    """Names of classes; shown as a table with their presets."""

    __slots__ = ()

    def __repr__(self) -> str:
        width = max(len(name) for name in self)
        return "\n".join(f"{name:<{width}}  {preset_source(name)}" for name in self)


def supported() -> Supported:
    """The model classes that need no adapter of one's own."""
    return Supported(_DESCRIBE)


def preset_source(name: str) -> str:
    """Where the settings of ``ClusCaConfig.for_model`` come from."""
    if name in PAPERS:
        return f'the paper\'s code, ClusCaConfig.paper("{PAPERS[name]}")'
    return "the package's default, untested on its checkpoints"


def original(model: Any) -> Any:
    """The model that was compiled, or itself."""
    return getattr(model, "_orig_mod", model)


def known_name(model: nn.Module) -> str | None:
    """Which of the supported classes a model is of."""
    return next((cls.__name__ for cls in type(model).__mro__ if cls.__name__ in _DESCRIBE), None)


def class_of(model: nn.Module) -> str:
    """The supported class a model is of, or a subclass of; of others, their own."""
    return known_name(model) or type(model).__name__


def register_adapter(model: str) -> Callable[[Describe], Describe]:
    """Decorate a function that describes the models of a class, and ``enable_cache`` knows them.

    Args:
        model: Name of the class; its subclasses are known too.

    Raises:
        ValueError: The class has an adapter already.

    Example:
        A family whose blocks a ``BlockAdapter`` describes::

            @register_adapter("MyDiT")
            def describe_my_dit(model):
                return BlockAdapter(blocks="blocks", modulation=...).describe(model)
    """
    if not isinstance(model, str):
        raise ValueError(f"model must be the name of a class, got {model!r}")
    if model in _DESCRIBE:
        raise ValueError(f"model must be a class without an adapter, got {model!r}")

    def register(function: Describe) -> Describe:
        _DESCRIBE[model] = function
        return function

    return register


def describe(model: nn.Module, adapter: BlockAdapter | None = None) -> ModelDescription:
    """Describe a model by its class, or by the adapter given; of a compiled one, what it was.

    Raises:
        ValueError: There is no adapter for the model, or the one given does not fit it.
    """
    model = original(model)
    if adapter is not None:
        if not isinstance(adapter, BlockAdapter):
            raise ValueError(f"adapter must be a BlockAdapter, got {type(adapter).__name__}")
        return adapter.describe(model)
    name = known_name(model)
    if name is not None:
        return _DESCRIBE[name](model)
    raise ValueError(
        f"{type(model).__name__} is not supported: clusca_ext knows {', '.join(supported())}, and "
        "any model whose blocks a BlockAdapter describes (enable_cache(model, adapter=...))"
    )
