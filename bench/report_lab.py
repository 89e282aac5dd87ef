"""What ``clusca lab`` measured, in docs/quality.md below lean storage, and its plots."""

import pathlib

from clusca_ext.lab import journal, pages, plots, section
from clusca_ext.lab.comparison import groups
from results import FOLDER


def results() -> list[dict]:
    return [row for path in sorted(FOLDER.glob("*-lab-*.jsonl")) for row in journal.read(path)]


def page(above: str, rows: list[dict]) -> str:
    """The page with a section for every model and machine below what stands there."""
    return section.put(above, pages.sections(rows))


def draw(rows: list[dict], folder: pathlib.Path) -> None:
    """The plots that the page shows."""
    for group in groups(rows):
        if group.good:
            plots.write(group, folder / pages.picture_of(group))
