"""Schedules that were found once and measured: masks, each beside the report of its measurement."""

import json
import pathlib
from typing import Any

from clusca_ext.schedule import MaskSchedule

_FOLDER = pathlib.Path(__file__).parent
_REPORT = ".report.json"


def mask_presets() -> list[str]:
    """Names of the masks that are here."""
    return sorted(path.name.removesuffix(_REPORT) for path in _FOLDER.glob(f"*{_REPORT}"))


def load_mask(name: str) -> MaskSchedule:
    """Masks by name, as ``"digits-20-l2c"``.

    Raises:
        ValueError: There are none of that name.
    """
    _require(name)
    return MaskSchedule.load(_FOLDER / f"{name}.json")


def mask_report(name: str) -> dict[str, Any]:
    """How they were found, and what they were worth.

    Raises:
        ValueError: There are none of that name.
    """
    _require(name)
    report: dict[str, Any] = json.loads((_FOLDER / f"{name}{_REPORT}").read_text())
    return report


def _require(name: str) -> None:
    if name not in mask_presets():
        raise ValueError(f"name must be one of {mask_presets()}, got {name!r}")
