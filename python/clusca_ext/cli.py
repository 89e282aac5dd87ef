"""The ``clusca`` command."""

import json
import pathlib
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from clusca_ext.commands import bench, bench_pipeline
from clusca_ext.commands.calibrate import calibrate
from clusca_ext.commands.checks import require_device, require_folder
from clusca_ext.commands.endings import Commands, Stopped
from clusca_ext.commands.estimate import estimate
from clusca_ext.commands.lab import lab
from clusca_ext.commands.learn import learn
from clusca_ext.commands.report import report
from clusca_ext.commands.run import run
from clusca_ext.commands.search import search
from clusca_ext.commands.smooth import smooth
from clusca_ext.info import build_info
from clusca_ext.writing import replaced

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

INTERVALS = (4, 6)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(build_info().version)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """ClusCa for PyTorch: draw, measure and estimate, and find what is best for a model.

    Exit codes: 0, done; 1, the job failed; 2, it was asked for wrongly; 130, it was interrupted.

    Example: clusca info
    """


@app.command()
def info(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show version, torch, CPU and CUDA of this installation.

    Example: clusca info --json
    """
    found = build_info()
    typer.echo(json.dumps(asdict(found), indent=2) if as_json else found)


@app.command()
def demo(
    samples: Annotated[int, typer.Option(min=2, help="Digits to draw in every row.")] = 16,
    steps: Annotated[int, typer.Option(min=1, help="DDIM steps of the full sampler.")] = 50,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    output: Annotated[pathlib.Path, typer.Option(help="Where the picture goes.")] = pathlib.Path(
        "clusca-demo.png"
    ),
    record: Annotated[
        pathlib.Path | None, typer.Option(help="JSON of what happened, for clusca report.")
    ] = None,
) -> None:
    """Draw the same digits with the full sampler and with every cache; compare time and quality.

    Example: clusca demo --samples 64
    """
    # diffusers is slow to import, and the other commands do not need it
    from clusca_ext.demo.allocator import keep_freed_memory
    from clusca_ext.demo.comparison import compare
    from clusca_ext.demo.table import render

    for path in (output, record):
        if path is not None:
            require_folder(path)
    require_device(device)
    keep_freed_memory()
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            how = samples, steps, INTERVALS, device, progress
            comparison = compare(*how, records=record is not None)
    except KeyboardInterrupt:
        raise Stopped("Stopped; a demonstration is shown when it is complete.") from None
    console.print(render(comparison))
    for note in comparison.notes:
        console.print(note, highlight=False)
    with replaced(output) as partial:
        comparison.picture.save(partial)
    console.print(f"Picture: {output}", highlight=False)
    if record is not None:
        from clusca_ext.demo.document import document_of

        document_of(comparison, device).save(record)
        console.print(f"Record: {record}", highlight=False)


for command in (run, estimate, lab, calibrate, learn, smooth, search, report):
    app.command()(command)
bench.app.command()(bench_pipeline.pipeline)
app.add_typer(bench.app, name="bench")


if __name__ == "__main__":
    app()
