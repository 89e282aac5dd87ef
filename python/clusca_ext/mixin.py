"""The diffusers way: ``pipe.transformer.enable_cache(ClusCaConfig(...))``.

diffusers' ``CacheMixin`` takes the configurations it knows and has no place for others: its methods
are wrapped, once, when ``ClusCaConfig`` is imported. Other configurations pass through. Importing
diffusers takes seconds, so that this waits until somebody does it: the import itself is the only
event between a configuration that can be made and the model's method.
"""

import functools
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clusca_ext.config import ClusCaConfig

MODULE = "diffusers.models.cache_utils"


def register() -> None:
    """Wrap diffusers' methods, now or when they are imported."""
    if MODULE in sys.modules:
        _wrap(sys.modules[MODULE].CacheMixin)
    elif not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


class _Watch(MetaPathFinder):
    """Finds diffusers' module as others find it, and wraps its methods when they exist."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != MODULE:
            return None
        others = [each for each in sys.meta_path if each is not self and hasattr(each, "find_spec")]
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next(filter(None, found), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _wrap(module.CacheMixin)
                sys.meta_path.remove(self)

            vars(spec.loader)["exec_module"] = exec_module
        return spec


def _wrap(mixin: Any) -> None:
    if hasattr(mixin.enable_cache, "__wrapped__"):
        return
    mixin.enable_cache = _enabling(mixin.enable_cache)
    mixin.disable_cache = _disabling(mixin.disable_cache)
    mixin._reset_stateful_cache = _resetting(mixin._reset_stateful_cache)


def record(model: Any, config: "ClusCaConfig") -> None:
    """The model's own record says that it is cached: diffusers refuses a second cache."""
    if hasattr(type(model), "is_cache_enabled"):
        model._cache_config = config


def forget(model: Any) -> None:
    """Nothing of ours is left in the model's own record of its cache."""
    from clusca_ext.config import ClusCaConfig

    if isinstance(vars(model).get("_cache_config"), ClusCaConfig):
        del model._cache_config


def _is_cached(model: Any) -> bool:
    """By us. A copy of a cached model is not, whatever its record says."""
    from clusca_ext.cache import Cache

    cached = Cache.of(model) is not None
    if not cached:
        forget(model)
    return cached


def _enabling(original: Any) -> Any:
    @functools.wraps(original)
    def enable_cache(self: Any, config: Any) -> Any:
        from clusca_ext import enable
        from clusca_ext.config import ClusCaConfig

        if isinstance(config, ClusCaConfig):
            enable.enable_cache(self, config)
            return None
        if _is_cached(self):
            raise ValueError(
                f"{type(self).__name__} has a cache of clusca_ext: call disable_cache first"
            )
        return original(self, config)

    return enable_cache


def _disabling(original: Any) -> Any:
    @functools.wraps(original)
    def disable_cache(self: Any) -> Any:
        from clusca_ext import enable

        if not _is_cached(self):
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
            found.end_run()
        return original(self, *args, **kwargs)

    return reset_stateful_cache
