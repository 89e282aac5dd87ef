"""Configurations of published methods, by name."""

from collections.abc import Callable

from clusca_ext.adapters import class_of
from clusca_ext.adapters.checkpoints import checkpoint_of
from clusca_ext.config import ClusCaConfig
from clusca_ext.methods.adapting import adacache, first_block, pab, speca, teacache
from clusca_ext.methods.intervals import fora, freqca, taylorseer
from clusca_ext.methods.tokens import cat, duca, toca
from clusca_ext.targets import transformers_of

METHODS: dict[str, Callable[[], ClusCaConfig]] = {
    "adacache": adacache,
    "cat": cat,
    "duca": duca,
    "first_block": first_block,
    "fora": fora,
    "freqca": freqca,
    "pab": pab,
    "speca": speca,
    "taylorseer": taylorseer,
    "teacache": teacache,
    "toca": toca,
}


def method(name: str, model: object = None) -> ClusCaConfig:
    """The configuration of a published method; ``ClusCaConfig.paper`` has ClusCa's own.

    Args:
        name: One of ``METHODS``, where each one's function says its source and what differs.
        model: The model or pipeline, of whose class or checkpoint the method may have published
            settings: TeaCache's polynomial and SpeCa's thresholds. A checkpoint is told by
            the model's configuration; sizes of Wan 2.1's image to video by what it was loaded from,
            which says 480P or 720P. None: those of no model.

    Returns:
        What to give ``enable_cache``.

    Raises:
        ValueError: There is no such method, or ``model`` is neither a model nor a pipeline.
    """
    if name not in list(METHODS):
        raise ValueError(f"name must be one of {list(METHODS)}, got {name!r}")
    parts = [] if model is None else transformers_of(model)
    if name == "teacache" and parts:
        return teacache(class_of(parts[0]), checkpoint_of(parts))
    if name == "speca" and parts:
        return speca(class_of(parts[0]))
    return METHODS[name]()
