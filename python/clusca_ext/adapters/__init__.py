"""WHICH MODEL: adapters describe the blocks of a model family; the executor runs them."""

from torch import nn

from clusca_ext.adapters import (
    cogvideox,
    dit,
    flux,
    flux2,
    hunyuan_video,
    ltx,
    mochi,
    pixart,
    qwen_image,
    sd3,
    wan,
    z_image,
)
from clusca_ext.adapters.description import ModelDescription
from clusca_ext.adapters.generic import BlockAdapter

__all__ = ["BlockAdapter", "describe", "supported"]

_FAMILIES = (
    dit,
    pixart,
    sd3,
    flux,
    flux2,
    qwen_image,
    z_image,
    hunyuan_video,
    wan,
    cogvideox,
    ltx,
    mochi,
)
_DESCRIBE = {family.MODEL: family.describe for family in _FAMILIES}


def supported() -> tuple[str, ...]:
    """Names of the model classes that need no adapter of one's own."""
    return tuple(_DESCRIBE)


def describe(model: nn.Module, adapter: BlockAdapter | None = None) -> ModelDescription:
    """Describe a model by its class, or by the adapter given.

    Raises:
        ValueError: There is no adapter for the model, or the one given does not fit it.
    """
    if adapter is not None:
        if not isinstance(adapter, BlockAdapter):
            raise ValueError(f"adapter must be a BlockAdapter, got {type(adapter).__name__}")
        return adapter.describe(model)
    for cls in type(model).__mro__:
        if cls.__name__ in _DESCRIBE:
            return _DESCRIBE[cls.__name__](model)
    raise ValueError(
        f"{type(model).__name__} is not supported: clusca_ext knows {', '.join(supported())}, and "
        "any model whose blocks a BlockAdapter describes (enable_cache(model, adapter=...))"
    )
