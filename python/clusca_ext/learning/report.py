"""What a training run found: the masks, a report in JSON, and the masks as a picture."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageDraw

from clusca_ext.learning.training import Training
from clusca_ext.schedule import Key, MaskSchedule
from clusca_ext.schedule.masks import key_of
from clusca_ext.writing import replaced

CELL, MARGIN = 12, 64
FULL, COMPUTED, FORECAST = (150, 160, 175), (28, 84, 168), (236, 239, 244)
INK = (40, 40, 40)


def report_of(training: Training, theta: float) -> dict[str, Any]:
    """Plain values: settings, what is left out, and how the error went."""
    routers, errors = training.routers, training.errors
    kept = routers.kept(theta).sum(1).tolist()
    tail = errors[-max(len(errors) // 10, 1) :]
    return {
        **training.about,
        "iterations": training.iteration,
        "theta": theta,
        "removed_in_cached_steps": round(routers.removed(theta), 4),
        "removed": round(routers.schedule(theta).removed, 4),
        "computed_in_cached_steps": dict(zip(map(str, routers.cached_steps), kept, strict=True)),
        "error_of_last_tenth": sum(tail) / len(tail) if tail else None,
    }


def write_report(
    training: Training,
    theta: float,
    folder: str | pathlib.Path,
    measured: Mapping[str, Any] | None = None,
) -> MaskSchedule:
    """Write ``mask.json``, ``mask.png`` and ``report.json`` into a folder.

    Args:
        training: The run.
        theta: Betas above it compute their modules.
        folder: Where the files go.
        measured: More for the report.
    """
    schedule = training.routers.schedule(theta)
    write_masks(schedule, {**report_of(training, theta), **(measured or {})}, pathlib.Path(folder))
    return schedule


def write_masks(schedule: MaskSchedule, report: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Write ``mask.json``, ``mask.png`` and ``report.json``, each whole, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with replaced(folder / "mask.json") as partial:
        schedule.save(partial)
    with replaced(folder / "mask.png") as partial:
        picture_of(schedule).save(partial)
    with replaced(folder / "report.json") as partial:
        partial.write_text(json.dumps(report, indent=2) + "\n")


def picture_of(schedule: MaskSchedule) -> Image.Image:
    """The masks: a row for each module, a column for each step, the first step on the left."""
    rows = sorted(schedule.modules, key=lambda row: _by_name(key_of(row[0])))
    width, height = MARGIN + CELL * schedule.num_steps, CELL * len(rows) + 2 * CELL + 8
    picture = Image.new("RGB", (max(width, MARGIN + 260), height), "white")
    draw = ImageDraw.Draw(picture)
    for row, (name, marks) in enumerate(rows):
        top = row * CELL
        draw.text((4, top), name, fill=INK)
        for step, mark in enumerate(marks):
            left = MARGIN + step * CELL
            color = FULL if schedule.decision(step) is True else COMPUTED if mark else FORECAST
            draw.rectangle((left, top, left + CELL - 2, top + CELL - 2), fill=color)
    top, left = CELL * len(rows) + CELL, MARGIN
    for color, word in ((FULL, "full step"), (COMPUTED, "computed"), (FORECAST, "forecast")):
        draw.rectangle((left, top, left + CELL - 2, top + CELL - 2), fill=color)
        draw.text((left + CELL + 2, top - 1), word, fill=INK)
        left += 84
    return picture


def _by_name(key: Key) -> tuple[str, int]:
    return key[1], key[0]
