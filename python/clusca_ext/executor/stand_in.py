"""Stands in for a module's forward."""

from typing import Any


class StandIn:
    """Takes the place of a module's forward, and gives it back.

    Args:
        stands_for: The module.

    Attributes:
        original: Its own forward, while this is installed.
    """

    def __init__(self, stands_for: Any) -> None:
        self._stands_for = stands_for
        self.original: Any = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def install(self) -> None:
        """Stand in for the innermost forward: what wraps it, as offloading does, still runs."""
        owner, name = forwards_of(self._stands_for)[0]
        self.original = getattr(owner, name)
        self._had_its_own = name in vars(owner)
        setattr(owner, name, self.forward)

    def remove(self) -> None:
        """Restore the module, wherever wrappers that came later keep our forward."""
        for owner, name in forwards_of(self._stands_for):
            if vars(owner).get(name) != self.forward:
                continue
            if owner is self._stands_for and name == "forward" and not self._had_its_own:
                delattr(owner, name)
            else:
                setattr(owner, name, self.original)


def forwards_of(module: Any) -> list[tuple[Any, str]]:
    """Where a module's forward and those that wrap it are kept, innermost first."""
    places: list[tuple[Any, str]] = []
    if "_old_forward" in vars(module):  # accelerate
        places.append((module, "_old_forward"))
    registry = vars(module).get("_diffusers_hook")
    for wrapper in getattr(registry, "_fn_refs", []):
        replaced = wrapper.original_forward is not None
        places.append((wrapper, "original_forward" if replaced else "forward"))
    return [*places, (module, "forward")]
