"""What ``clusca learn`` and ``clusca smooth`` say of the masks that they found."""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:  # diffusers is slow to import, and --help does not need it
    from clusca_ext.learning.comparison import Compared
    from clusca_ext.schedule import MaskSchedule


def left_out(schedule: "MaskSchedule") -> str:
    """How much, and how much as many full steps would leave out."""
    from clusca_ext.learning.comparison import even_steps

    even, steps = len(even_steps(schedule)), schedule.num_steps
    return (
        f"{schedule.removed:.1%} of the run; even: {even} full steps of {steps}, "
        f"{1 - even / steps:.1%} left out"
    )


def show(
    compared: Sequence["Compared"], name: str, samples: int, output: pathlib.Path, console: Console
) -> None:
    """The table, and where the files are.

    Args:
        compared: Its rows.
        name: Of what the masks are.
        samples: How many were drawn.
        output: Folder of the files.
        console: Where it is shown.
    """
    table = Table("forecast", f"{name}, dB", "even, dB", "gain, dB")
    for each in compared:
        table.add_row(each.name, f"{each.learned}", f"{each.even}", f"{each.gain:+}")
    console.print(table)
    console.print(f"PSNR to the full sampler, {samples} samples. Files: {output}", highlight=False)
