"""The demo's results as a table that fits 80 columns."""

from rich.box import SIMPLE_HEAD
from rich.table import Table

from clusca_ext.demo.comparison import Comparison
from clusca_ext.demo.run import Result

HEADINGS = ("method", "full", "cached", "sec", "speed", "PSNR, dB", "over bounded", "read")
CAPTION = (
    "PSNR: to the full sampler. over bounded: the same minus that of bounded Taylor, paired by "
    "sample; both with standard errors. read: taken by a classifier for the digit asked for."
)


def render(comparison: Comparison) -> Table:
    table = Table(
        title=comparison.title,
        title_justify="left",
        caption=CAPTION,
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=0,
    )
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "method" else "right", no_wrap=True)
    interval = 0
    for result in comparison.results:
        row = result.sampled.row
        if row.interval != interval:
            interval = row.interval
            table.add_section()
            table.add_row(f"[bold]interval {interval}[/bold]")
        table.add_row(*cells(result))
    return table


def cells(result: Result) -> tuple[str, ...]:
    """A result as a line of the table, under ``HEADINGS``."""
    sampled = result.sampled
    return (
        sampled.row.name,
        str(sampled.full),
        str(sampled.cached),
        f"{sampled.seconds:.1f}",
        f"{result.speedup:.2f}x",
        "-" if result.psnr is None else f"{result.psnr}",
        "-" if result.over_bounded is None else f"{result.over_bounded:+}",
        f"{result.recognised:.0%}",
    )
