"""The ``clusca`` command."""

import pathlib
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from clusca_ext.commands.calibrate import calibrate
from clusca_ext.commands.checks import require_device, require_folder
from clusca_ext.commands.lab import lab
from clusca_ext.commands.learn import learn
from clusca_ext.commands.search import search
from clusca_ext.info import build_info

app = typer.Typer(
    help="ClusCa for PyTorch: what is installed, a demonstration, and a laboratory.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

INTERVALS = (4, 6)

app.command()(lab)
app.command()(calibrate)
app.command()(learn)
app.command()(search)


@app.command()
def info() -> None:
    """Show version, torch, CPU and CUDA of this installation."""
    typer.echo(build_info())


@app.command()
def demo(
    samples: Annotated[int, typer.Option(min=2, help="Digits to draw in every row.")] = 16,
    steps: Annotated[int, typer.Option(min=1, help="DDIM steps of the full sampler.")] = 50,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    output: Annotated[pathlib.Path, typer.Option(help="Where the picture goes.")] = pathlib.Path(
        "clusca-demo.png"
    ),
) -> None:
    """Draw the same digits with the full sampler and with every cache; compare time and quality.

    Example: clusca demo --samples 64
    """
    # diffusers is slow to import, and the other commands do not need it
    from clusca_ext.demo.allocator import keep_freed_memory
    from clusca_ext.demo.comparison import compare
    from clusca_ext.demo.table import render

    require_folder(output)
    require_device(device)
    keep_freed_memory()
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        comparison = compare(samples, steps, INTERVALS, device, progress)
    console.print(render(comparison))
    for note in comparison.notes:
        console.print(note, highlight=False)
    comparison.picture.save(output)
    console.print(f"Picture: {output}", highlight=False)


if __name__ == "__main__":
    app()
