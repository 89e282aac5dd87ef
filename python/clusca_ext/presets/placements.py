"""Placements of full steps that were found by a search: where they lie, and what they gained."""

import pathlib

from clusca_ext.search.placement import Placement

_FOLDER = pathlib.Path(__file__).parent
_PLACEMENT = ".placement.json"


def placement_presets() -> list[str]:
    """Names of the placements that are here: model, steps, full steps."""
    return sorted(path.name.removesuffix(_PLACEMENT) for path in _FOLDER.glob(f"*{_PLACEMENT}"))


def load_placement(name: str) -> Placement:
    """A placement by name, as ``"digits-50-10"``, with the search that found it.

    ``docs/placement.md`` says where it was measured and gains. Its ``config()`` is for the same
    number of steps; its ``schedule`` places the full steps in runs of any length.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in placement_presets():
        raise ValueError(f"name must be one of {placement_presets()}, got {name!r}")
    return Placement.load(_FOLDER / f"{name}{_PLACEMENT}")
