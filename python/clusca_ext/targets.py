"""What a cache is enabled on: a model, or a pipeline with one transformer or two."""

from torch import nn

from clusca_ext.adapters import original, supported
from clusca_ext.cache import Cache


def transformers_of(model: object) -> list[nn.Module]:
    """The modules that hold the blocks: a pipeline's, a compiled model's original."""
    if isinstance(model, nn.Module):
        return [original(model)]
    names = ("transformer", "transformer_2")
    found = [original(getattr(model, name, None)) for name in names]
    found = [each for each in found if isinstance(each, nn.Module)]
    if not found:
        raise ValueError(
            "model must be a torch.nn.Module or a pipeline with a transformer, got "
            f"{type(model).__name__}: clusca_ext knows {', '.join(supported())}, and any model "
            "whose blocks a BlockAdapter describes"
        )
    return found


def caches_of(model: object) -> list[Cache]:
    found = [Cache.of(transformer) for transformer in transformers_of(model)]
    caches = [cache for cache in found if cache is not None]
    if not caches:
        name = type(transformers_of(model)[0]).__name__
        raise ValueError(f"{name} has no cache: call enable_cache first")
    return caches


def cache_of(model: object) -> Cache:
    return caches_of(model)[0]
