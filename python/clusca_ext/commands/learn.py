"""``clusca learn``: train a router for an embedded model, and measure its masks."""

import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from clusca_ext.commands.endings import Stopped

if TYPE_CHECKING:  # diffusers is slow to import, and --help does not need it
    from rich.console import Console

    from clusca_ext.demo.guided import GuidedPipeline
    from clusca_ext.learning.training import Training


def learn(
    output: Annotated[
        pathlib.Path, typer.Option(help="Folder for checkpoint, masks, picture and report.")
    ] = pathlib.Path("clusca-router"),
    model: Annotated[
        str, typer.Option(help="An embedded model, or a folder that holds one of its kind.")
    ] = "digits",
    steps: Annotated[int, typer.Option(min=2, help="Steps of a run.")] = 20,
    interval: Annotated[int, typer.Option(min=2, help="Every so many steps is full.")] = 2,
    order: Annotated[int, typer.Option(min=0, max=7, help="Taylor order of forecasts.")] = 0,
    objective: Annotated[
        str,
        typer.Option(
            help='"pairs" of steps from recorded runs; "data": pairs made of real digits, '
            'of a model of digits alone (Learning-to-Cache); "run": along the student\'s run '
            "(HarmoniCa)."
        ),
    ] = "pairs",
    penalty: Annotated[
        float, typer.Option("--lambda", min=0, help="What computing a module costs.")
    ] = 1e-4,
    theta: Annotated[
        float, typer.Option(min=0, max=1, help="Scores above it compute their modules.")
    ] = 0.1,
    refresh: Annotated[
        int,
        typer.Option(min=1, help="Iterations after which 'run' measures its steps' weights anew."),
    ] = 100,
    iterations: Annotated[int, typer.Option(min=1, help="Updates of the routers.")] = 400,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW.")] = 0.1,
    batch: Annotated[int, typer.Option(min=1, help="Samples in a batch.")] = 8,
    hard: Annotated[bool, typer.Option(help="Round scores at theta while training.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is random.")] = 0,
    samples: Annotated[int, typer.Option(min=2, help="Samples to measure the masks on.")] = 32,
) -> None:
    """Learn which modules cached steps must compute, and compare with evenly spread full steps.

    It may be stopped at any time: the same command goes on where it was.

    Example: clusca learn --steps 20 --lambda 1e-4 --iterations 400 --output router
    """
    from rich.console import Console

    from clusca_ext.lab.models import open_embedded
    from clusca_ext.learning.embedded import Task, training_of
    from clusca_ext.learning.objective import Price
    from clusca_ext.learning.training import TrainingSettings

    console = Console()
    try:
        pipeline, _ = open_embedded(model)
        task = Task(
            steps=steps,
            interval=interval,
            order=order,
            objective=objective,
            batch=batch,
            theta=theta,
            refresh=refresh,
        )
        settings = TrainingSettings(iterations=iterations, learning_rate=learning_rate, seed=seed)
        price = Price(penalty=penalty, threshold=theta if hard else None)
        training = training_of(pipeline, task, price, settings, output)
    except (ValueError, ImportError) as error:
        raise typer.BadParameter(str(error)) from None
    _train(training, console)
    _finish(training, pipeline, theta, samples, output, console)


def _train(training: "Training", console: "Console") -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from clusca_ext.learning.objective import Measured

    total = training.settings.iterations
    words = TextColumn("error {task.fields[error]:.2e}, mean score {task.fields[computed]:.2f}")
    columns = (TextColumn("learning"), BarColumn(), MofNCompleteColumn(), Remaining(), words)
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(
            "", total=total, completed=training.iteration, error=0.0, computed=0.0
        )

        def on_iteration(measured: Measured) -> None:
            progress.update(bar, advance=1, error=measured.error, computed=measured.computed)

        try:
            training.run(on_iteration)
        except KeyboardInterrupt:
            raise Stopped(
                f"Stopped after iteration {training.iteration} of {total}, kept in "
                f"{training.path}. The same command goes on from there."
            ) from None


def _finish(
    training: "Training",
    pipeline: "GuidedPipeline",
    theta: float,
    samples: int,
    output: pathlib.Path,
    console: "Console",
) -> None:
    from clusca_ext.commands.compared_masks import left_out, show
    from clusca_ext.learning.comparison import compare, plain
    from clusca_ext.learning.report import write_report

    schedule = training.routers.schedule(theta)
    if not schedule.removed:
        write_report(training, theta, output)
        console.print(
            f"Nothing is left out: every score is above theta {theta:g}, so that there is nothing "
            f"to compare. Train longer, with a larger --lambda, or take a larger --theta. Files: "
            f"{output}",
            highlight=False,
            soft_wrap=True,
        )
        return
    compared = compare(pipeline, schedule, samples)
    write_report(training, theta, output, plain(compared, samples))
    console.print(
        f"Left out: {training.routers.removed(theta):.1%} of cached steps, {left_out(schedule)}",
        highlight=False,
        soft_wrap=True,
    )
    show(compared, "learned", samples, output, console)
