"""Forward hooks within a model: a graph leaves them out, where their modules are called at all."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.modules import module as everywhere

from clusca_ext.executor import ModuleExecutor
from clusca_ext.graphs.values import Unfit
from clusca_ext.installation import Installation


def require_fit(name: str, module: nn.Module) -> None:
    """
    Raises:
        Unfit: It has hooks of a kind that no graph may leave out.
    """
    hooks = getattr(vars(module).get("_diffusers_hook"), "hooks", None)
    if "_hf_hook" in vars(module) or hooks and "group_offloading" in hooks:
        raise Unfit("weights may be offloaded: they come when their module is called")
    if hooks:
        where = repr(name) if name else "the model"
        raise Unfit(f"hooks of diffusers, as {next(iter(hooks))!r} on {where}, would not run")


def hooked(name: str, module: nn.Module) -> list[str]:
    """The name of a module within a model, where it has hooks that are not the cache's."""
    if everywhere._global_forward_hooks or everywhere._global_forward_pre_hooks:
        raise Unfit("a forward hook on all modules would not run")
    hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    return [name] if name and not all(map(_is_ours, hooks)) else []


def _is_ours(hook: Any) -> bool:
    return isinstance(getattr(hook, "__self__", None), (ModuleExecutor, Installation))


class Watch:
    """Whether modules are called in a step. On cached steps most within the blocks are not.

    Args:
        model: The model.
        names: Of the modules.
    """

    def __init__(self, model: nn.Module, names: Iterable[str]) -> None:
        self._called: list[str] = []
        self._handles = [
            model.get_submodule(name).register_forward_pre_hook(self._noting(name))
            for name in names
        ]

    def _noting(self, name: str) -> Any:
        return lambda module, args: self._called.append(name)

    def stop(self) -> None:
        for handle in self._handles:
            handle.remove()

    def require_none_called(self) -> None:
        """
        Raises:
            Unfit: One was called.
        """
        self.stop()
        if self._called:
            raise Unfit(f"a forward hook on {self._called[0]!r} would not run")
