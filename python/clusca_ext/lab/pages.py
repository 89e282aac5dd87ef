"""Where results are read: a table on the console, docs/quality.md and the plots beside it."""

import pathlib
from collections.abc import Iterable

from rich.table import Table

from clusca_ext.lab import metrics, plots, section, tables
from clusca_ext.lab.comparison import Baseline, Group, groups
from clusca_ext.lab.journal import Row
from clusca_ext.lab.times import time_ratio

PAGE = "quality.md"
HEADINGS = ("method", "interval", "order", "full", "PSNR, dB", "over baseline", "time", "counted")


def console_table(rows: Iterable[Row]) -> Table:
    """Every row that has numbers."""
    shown = Table(*HEADINGS, box=None, padding=(0, 1))
    for group in groups(rows):
        baseline = Baseline(group)
        for row in [*(each for each in group.counts if not each["error"]), *group.good]:
            counted = f"{row['operations']:.2f}x" if row["operations"] else "-"
            shown.add_row(
                row["method"],
                str(row["interval"]),
                str(row["order"]),
                "-" if row["full"] is None else f"{row['full']:g}",
                tables.plus_minus(metrics.mean_of(row["psnr_db"])),
                tables.difference(baseline.over(row)).replace("*", ""),
                f"{time_ratio(row).mean:.2f}x" if group.is_timed(row) else "-",
                counted,
            )
    return shown


def picture_of(group: Group) -> str:
    return f"lab-{tables.name_of(group)}.png"


def sections(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Name and text of what a page says of every group; a plot is named where it can be drawn."""
    return [
        (tables.name_of(group), section.section(group, picture_of(group) if group.good else None))
        for group in groups(rows)
    ]


def write(rows: list[Row], folder: pathlib.Path) -> list[str]:
    """Tables into ``quality.md`` of a folder and plots beside it; says what was written or not."""
    page = folder / PAGE
    text = page.read_text("utf-8") if page.exists() else ""
    folder.mkdir(parents=True, exist_ok=True)
    page.write_text(section.put(text, sections(rows)), "utf-8")
    notes = [f"Tables: {page}"]
    for group in groups(rows):
        try:
            plots.write(group, folder / picture_of(group))
        except ValueError as error:
            notes.append(f"No plot of {group.model}: {error}")
        else:
            notes.append(f"Plot: {folder / picture_of(group)}")
    return notes
