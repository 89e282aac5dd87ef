"""The diffusers way: ``pipe.transformer.enable_cache(ClusCaConfig(...))``.

diffusers' ``CacheMixin`` takes the configurations it knows and has no place for others: its methods
are wrapped, once, as soon as there is a ``ClusCaConfig`` to give them. Other configurations pass
through.
"""

import functools
import sys
from typing import Any


def register() -> None:
    """Wrap diffusers' methods, if diffusers is loaded and they are not wrapped yet."""
    if "diffusers" not in sys.modules:
        return
    from diffusers.models.cache_utils import CacheMixin

    if hasattr(CacheMixin.enable_cache, "__wrapped__"):
        return
    CacheMixin.enable_cache = _enabling(CacheMixin.enable_cache)
    CacheMixin.disable_cache = _disabling(CacheMixin.disable_cache)
    CacheMixin._reset_stateful_cache = _resetting(CacheMixin._reset_stateful_cache)


def forget(model: Any) -> None:
    """Nothing of ours is left in the model's own record of its cache."""
    if _is_ours(model):
        del model._cache_config


def _is_ours(model: Any) -> bool:
    from clusca_ext.config import ClusCaConfig

    return isinstance(vars(model).get("_cache_config"), ClusCaConfig)


def _enabling(original: Any) -> Any:
    @functools.wraps(original)
    def enable_cache(self: Any, config: Any) -> Any:
        from clusca_ext import enable
        from clusca_ext.config import ClusCaConfig

        if not isinstance(config, ClusCaConfig):
            return original(self, config)
        enable.enable_cache(self, config)
        self._cache_config = config
        return None

    return enable_cache


def _disabling(original: Any) -> Any:
    @functools.wraps(original)
    def disable_cache(self: Any) -> Any:
        from clusca_ext import enable

        if not _is_ours(self):
            return original(self)
        enable.disable_cache(self)
        return None

    return disable_cache


def _resetting(original: Any) -> Any:
    @functools.wraps(original)
    def reset_stateful_cache(self: Any, *args: Any, **kwargs: Any) -> Any:
        """At the end of a pipeline's call: the next call of the model begins a run."""
        from clusca_ext.cache import Cache

        found = Cache.of(self)
        if found is not None:
            for branch in found.branches.values():
                branch.runs.restart()
        return original(self, *args, **kwargs)

    return reset_stateful_cache
