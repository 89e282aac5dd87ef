"""``clusca lab``: measures a grid of methods, intervals and orders."""

import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from clusca_ext.commands.arguments import numbers, words
from clusca_ext.commands.checks import require_device
from clusca_ext.commands.endings import FAILED, Failed, Stopped
from clusca_ext.writing import alone

if TYPE_CHECKING:
    from clusca_ext.commands.progress import Bar
    from clusca_ext.lab.grid import Setting
    from clusca_ext.lab.journal import Row
    from clusca_ext.lab.rows import Plan


def lab(
    model: Annotated[
        str, typer.Option(help="An embedded model, or a folder that holds one of its kind.")
    ] = "digits",
    methods: Annotated[
        str, typer.Option(help="Names with commas between, or all. --list-methods shows them.")
    ] = "all",
    intervals: Annotated[str, typer.Option(help="Intervals, with commas between.")] = "4,5,6,7,8",
    orders: Annotated[str, typer.Option(help="Orders of the forecast.")] = "1,2,3",
    baseline: Annotated[
        str | None,
        typer.Option(
            help="Numbers of full steps of bounded Taylor, evenly placed: what others are compared "
            "with at as many operations. Default: 3 to 20 with all methods, else none."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples of every setting.")] = 128,
    batch: Annotated[int, typer.Option(min=1, help="Samples in a run; each is timed.")] = 32,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the sampler; default: the model's.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    output: Annotated[
        pathlib.Path, typer.Option(help="Folder of the rows, <machine>-lab-<model>.jsonl.")
    ] = pathlib.Path("."),
    limit: Annotated[
        float | None, typer.Option(min=0, help="Seconds after which no setting is begun.")
    ] = None,
    times: Annotated[
        bool,
        typer.Option(
            "--times", help="Time anew what this machine has not timed while it was quiet."
        ),
    ] = False,
    missing: Annotated[
        bool,
        typer.Option(
            "--missing", help="Leave rows as they are that other sources or machines measured."
        ),
    ] = False,
    write_docs: Annotated[
        pathlib.Path | None,
        typer.Option(help="Folder whose quality.md gets the tables, beside the plots."),
    ] = None,
    list_methods: Annotated[
        bool,
        typer.Option(
            "--list-methods",
            help="Only name them, and their parts on this model at interval 5 and order 2.",
        ),
    ] = False,
) -> None:
    """Measure methods x intervals x orders: quality beside the full sampler, and time.

    Every setting draws the same seeds. Rows are appended as they come; a run that was interrupted
    goes on where it stopped, and a setting that fails is recorded and does not stop the others.

    Example: clusca lab --methods taylor-even,clusca-even --intervals 4,6 --orders 1 --limit 600
    """
    from clusca_ext.lab.grid import FULL_STEPS, described, settings
    from clusca_ext.lab.methods import all_methods
    from clusca_ext.lab.models import fitted_to

    own = fitted_to(model, steps)
    if list_methods:
        width = max(map(len, all_methods()))
        typer.echo(
            "\n".join(f"{name:<{width}}  {described(name, model=own)}" for name in all_methods())
        )
        return
    chosen = all_methods() if methods == "all" else words("methods", methods)
    further = FULL_STEPS if methods == "all" and baseline is None else ()
    try:
        grid = settings(
            chosen,
            numbers("intervals", intervals),
            numbers("orders", orders),
            numbers("baseline", baseline) if baseline else further,
            own,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    absent = [name for name in chosen if all(name != each.method for each in grid)]
    if methods != "all" and absent:
        of = f"{model}, {steps} steps" if steps is not None else model
        raise typer.BadParameter(
            f"methods must exist at one of intervals {intervals} on {of}, got {', '.join(absent)}"
        )
    require_device(device)
    _run(model, grid, samples, batch, steps, device, output, limit, times, missing, write_docs)


def _run(
    name: str,
    grid: "list[Setting]",
    samples: int,
    batch: int,
    steps: int | None,
    device: str,
    output: pathlib.Path,
    limit: float | None,
    times: bool,
    missing: bool,
    write_docs: pathlib.Path | None,
) -> None:
    # diffusers is slow to import, and the other commands do not need it
    from rich.console import Console

    from clusca_ext.commands.progress import Bar
    from clusca_ext.demo.allocator import keep_freed_memory
    from clusca_ext.lab import pages, runner
    from clusca_ext.lab.full import FullSampler
    from clusca_ext.lab.journal import Journal
    from clusca_ext.lab.models import open_model
    from clusca_ext.lab.rows import Plan
    from clusca_ext.origin import origin

    keep_freed_memory()
    plan = Plan(samples, batch)
    console = Console()
    try:
        model = open_model(name, device, steps)
        who = origin(model.device)
        ending = f"-lab-{pathlib.Path(name).name}.jsonl"
        path = output / f"{who['machine']}{ending}"
        others = (each for each in sorted(output.glob("*.jsonl")) if each.name.endswith(ending))
        journal = Journal(path, who, [each for each in others if each != path])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    full = FullSampler(model, path.with_suffix(".safetensors"), who)
    seconds = float("inf") if limit is None else limit
    try:
        full.require_same()
        with alone(path), Bar(console, len(grid) * len(list(plan.batches()))) as bar:
            watch = _Shown(bar, plan)
            outcome = runner.run(
                model, grid, plan, journal, full, watch, seconds, times=times, missing=missing
            )
    except KeyboardInterrupt:
        raise Stopped(f"Stopped; the rows are in {path}: run it again for the rest.") from None
    except ValueError as error:
        raise Failed(str(error)) from None
    console.print(pages.console_table(outcome.rows))
    failed = [row for row in outcome.rows if row["error"] is not None]
    for row in failed:
        where = f"{row['method']}, interval {row['interval']}, order {row['order']}"
        console.print(f"Failed: {where}: {row['error']}", highlight=False, markup=False)
    told = f"{len(outcome.rows)} settings, {outcome.measured} of them measured now, in {path}"
    if outcome.renewed:
        told += f"; {outcome.renewed} timed anew, drawn as they were"
    console.print(told, highlight=False)
    if outcome.left:
        console.print(f"The limit was reached: {outcome.left} are left; run it again for them.")
    if write_docs is not None:
        for note in pages.write(journal.rows, write_docs):
            console.print(note, highlight=False)
    if failed and len(failed) == len(outcome.rows):
        raise typer.Exit(FAILED)


class _Shown:
    """A bar over the settings and their batches."""

    def __init__(self, bar: "Bar", plan: "Plan") -> None:
        self._bar, self._batches, self._done = bar, len(list(plan.batches())), 0

    def begin(self, setting: "Setting") -> None:
        self._bar.begin(str(setting))

    def batch(self) -> None:
        self._bar.step()

    def end(self, row: "Row") -> None:
        self._done += self._batches  # all of a row that was there already, or failed midway
        self._bar.reach(self._done)
