"""``clusca search``: which steps of an embedded model's run should be full."""

import enum
import pathlib
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from clusca_ext.commands.checks import require_device, require_folder
from clusca_ext.commands.endings import Stopped
from clusca_ext.writing import beside, replaced


class Forecast(str, enum.Enum):
    taylor = "taylor"
    hermite = "hermite"


def search(
    model: Annotated[
        str, typer.Option(help="digits, pictures, or a folder that holds a model of their kind.")
    ] = "digits",
    steps: Annotated[
        int | None, typer.Option(min=3, help="Steps of the sampler; default: the model's.")
    ] = None,
    full_steps: Annotated[
        int | None, typer.Option(min=2, help="How many are full; default: as --interval says.")
    ] = None,
    interval: Annotated[
        int, typer.Option(min=1, help="As many full steps as the default schedule of this interval")
    ] = 5,
    forecaster: Annotated[Forecast, typer.Option(help="How cached steps forecast.")] = (
        Forecast.taylor
    ),
    order: Annotated[int, typer.Option(min=0, max=4, help="Order of the forecaster.")] = 1,
    clusters: Annotated[bool, typer.Option(help="Correct forecasts by clusters.")] = False,
    tries: Annotated[int, typer.Option(min=0, help="Placements to try.")] = 100,
    seeds: Annotated[int, typer.Option(min=2, help="Samples that score a placement.")] = 12,
    held_out: Annotated[int, typer.Option(min=2, help="Other samples, to judge the best by.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Of the moves that are tried.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    output: Annotated[
        pathlib.Path,
        typer.Option(help="The configuration to load; .search.json and .journal.jsonl beside it."),
    ] = pathlib.Path("placement.json"),
) -> None:
    """Search which steps of a run of an embedded model should be full, scored by final pictures.

    Stopped by Ctrl-C or killed, the same command goes on where it was. For another pipeline:
    clusca_ext.search.

    Example: clusca search --steps 50 --full-steps 10 --tries 100 --output placement.json
    """
    # diffusers is slow to import, and the other commands do not need it
    from clusca_ext.config import ClusCaConfig
    from clusca_ext.correction import ClusterCorrector, NoCorrection
    from clusca_ext.demo.allocator import keep_freed_memory
    from clusca_ext.forecast import HermiteForecaster, TaylorForecaster
    from clusca_ext.lab.models import open_model
    from clusca_ext.origin import drawn_by
    from clusca_ext.search import ModelDraw, SearchSettings, find_placement

    require_folder(output)
    require_device(device)
    keep_freed_memory()
    forecasters = {Forecast.taylor: TaylorForecaster, Forecast.hermite: HermiteForecaster}
    try:
        opened = open_model(model, device, steps)
        length = opened.steps
        if length is None:
            raise ValueError(
                f"model must be an embedded one or a folder, got {model!r}: a pipeline of your own "
                "is searched by clusca_ext.search.find_placement"
            )
        settings = SearchSettings(
            num_steps=length,
            full_steps=full_steps or _full_steps(interval, length),
            config=ClusCaConfig(
                forecaster=forecasters[forecaster](order=order),
                corrector=ClusterCorrector() if clusters else NoCorrection(),
            ),
            training=tuple(range(seeds)),
            held_out=tuple(range(seeds, seeds + held_out)),
            seed=seed,
            objective=f"{model}, weights {opened.weights}, {device}; {drawn_by(opened.device)}",
        )
        console = Console()
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            found = find_placement(
                ModelDraw(opened),
                settings,
                tries=tries,
                journal=beside(output, ".journal.jsonl"),
                progress=progress,
            )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except KeyboardInterrupt:
        raise Stopped("Stopped. The same command goes on where it was.") from None
    with replaced(output) as partial:
        found.config().save(partial)
    with replaced(beside(output, ".search.json")) as partial:
        found.save(partial)
    console.print(f"Full steps: {', '.join(map(str, found.steps))}; {found.tries} tries")
    console.print(f"Over even placement, training seeds: {found.gain:+} dB", highlight=False)
    console.print(f"Held-out seeds: {found.held_out_gain:+} dB, PSNR {found.held_out_psnr} dB")
    console.print(f"Configuration: {output}", highlight=False)


def _full_steps(interval: int, steps: int) -> int:
    """Those of the even schedule, but not all of a run so short that its warm-up is all of it."""
    from clusca_ext.schedule import EvenSchedule

    full = len(EvenSchedule(interval=interval).full_steps(steps))
    return full if interval == 1 else min(full, steps - 1)
