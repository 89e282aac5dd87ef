"""``clusca calibrate``: finds the configuration that is best for a model and a target."""

import json
import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from clusca_ext.checks import integers
from clusca_ext.commands.arguments import numbers, words
from clusca_ext.commands.checks import require_device, require_folder
from clusca_ext.commands.endings import Failed, Stopped
from clusca_ext.writing import alone, beside, replaced

if TYPE_CHECKING:
    from clusca_ext.lab.calibrate import Effort
    from clusca_ext.lab.full import FullSampler
    from clusca_ext.lab.target import Target
    from clusca_ext.lab.trials import Candidate, Trials

NOT_MET = 1
RETRIES = 3  # of a trial's times


def calibrate(
    model: Annotated[
        str,
        typer.Argument(
            help="An embedded model, a folder of its kind, or module:function of a function that "
            "returns draw(config | None, seeds) -> images in [-1, 1]; draw.pipeline may say what "
            "it draws with."
        ),
    ],
    speedup: Annotated[
        float | None, typer.Option(help="At least so many times the full sampler's speed.")
    ] = None,
    psnr: Annotated[
        float | None, typer.Option(help="At least so many dB to the full sampler.")
    ] = None,
    cost: Annotated[
        str, typer.Option(help="What speed is: time, measured, or operations, counted.")
    ] = "time",
    output: Annotated[
        pathlib.Path, typer.Option(help="The configuration; its report lies beside it.")
    ] = pathlib.Path("clusca.json"),
    methods: Annotated[
        str,
        typer.Option(
            help="Names with commas between, or all; a wrong one lists them. Bounded Taylor, "
            "evenly placed, is tried in any case."
        ),
    ] = "all",
    also: Annotated[
        str,
        typer.Option(help="Configurations of yours to try as well: files, with commas between."),
    ] = "",
    seeds: Annotated[
        str, typer.Option(help="Seeds of the rounds of the search, with commas between.")
    ] = "4,12,36",
    held_out: Annotated[int, typer.Option(min=2, help="Seeds of the validation.")] = 32,
    rounds: Annotated[
        int, typer.Option(min=0, help="Rounds of small changes of the best, at most.")
    ] = 16,
    tries: Annotated[
        int, typer.Option(min=0, help="Placements of its full steps to try, at most; 0: none.")
    ] = 40,
    batch: Annotated[int, typer.Option(min=1, help="Samples in a run.")] = 12,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of an embedded model's sampler.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N; of an embedded model.")] = "cpu",
    limit: Annotated[
        float | None, typer.Option(min=0, help="Seconds after which nothing more is tried.")
    ] = None,
    busy: Annotated[
        bool,
        typer.Option("--busy", help="Take times as they are, though the machine is not quiet."),
    ] = False,
    polynomial: Annotated[
        bool,
        typer.Option(help="Only fit TeaCache's polynomial, to the first round's seeds."),
    ] = False,
) -> None:
    """Find the schedule, forecaster and correction that are best for a model and a target.

    Writes the configuration, which ClusCaConfig.load reads, a report beside it (.report.json), and
    what was tried (.trials.jsonl): a search that was interrupted goes on from there. The exit code
    is 1 where the target is not met, and where times cannot be trusted, for the machine was busy.

    Example: clusca calibrate digits --speedup 4 --output fast.json
    """
    if polynomial:
        _fit(model, device, steps, seeds, batch, output)
        return
    # diffusers is slow to import, and the other commands do not need it
    from clusca_ext.config import ClusCaConfig
    from clusca_ext.lab.calibrate import Effort
    from clusca_ext.lab.candidates import known
    from clusca_ext.lab.full import FullSampler
    from clusca_ext.lab.journal import Journal
    from clusca_ext.lab.models import open_model
    from clusca_ext.lab.target import Target
    from clusca_ext.lab.trials import Candidate, Trials
    from clusca_ext.origin import origin

    require_device(device)
    require_folder(output)
    try:
        target = Target(speedup=speedup, psnr=psnr, cost=cost)
        chosen = None if methods == "all" else known(words("methods", methods))
        files = words("also", also) if also else []
        yours = [Candidate(path, ClusCaConfig.load(_file("also", path))) for path in files]
        effort = Effort(rungs=_ascending(seeds), held_out=held_out, rounds=rounds, tries=tries)
        opened = open_model(model, device, steps)
        journal = Journal(beside(output, ".trials.jsonl"), origin(opened.device))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    full = FullSampler(opened, beside(output, ".full.safetensors"), journal.origin)
    seconds = float("inf") if limit is None else limit
    retries = 0 if busy or cost == "operations" else RETRIES
    trials = Trials(opened, journal, full, batch, seconds, retries=retries)
    _search(trials, full, target, effort, chosen, yours, output, busy)


def _ascending(seeds: str) -> tuple[int, ...]:
    from clusca_ext.lab.calibrate import HELD_OUT

    found = integers("seeds", numbers("seeds", seeds), 1, HELD_OUT)
    if list(found) != sorted(set(found)):
        raise ValueError(f"seeds must ascend, got {seeds}")
    return found


def _file(name: str, path: str) -> str:
    if not pathlib.Path(path).is_file():
        raise ValueError(f"{name} must name files, got {path}")
    return path


def _fit(
    model: str, device: str, steps: int | None, seeds: str, batch: int, output: pathlib.Path
) -> None:
    """``--polynomial``."""
    from clusca_ext.lab.models import open_model
    from clusca_ext.lab.polynomial import write_polynomial

    require_device(device)
    require_folder(output)
    try:
        first = range(_ascending(seeds)[0])
        write_polynomial(open_model(model, device, steps), first, batch, output, typer.echo)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _search(
    trials: "Trials",
    full: "FullSampler",
    target: "Target",
    effort: "Effort",
    methods: list[str] | None,
    also: "list[Candidate]",
    output: pathlib.Path,
    busy: bool,
) -> None:
    from rich.console import Console

    from clusca_ext.demo.allocator import keep_freed_memory
    from clusca_ext.lab import verdict
    from clusca_ext.lab.calibrate import search
    from clusca_ext.lab.own import own_methods
    from clusca_ext.lab.trials import OutOfTime
    from clusca_ext.quiet import QUIET

    keep_freed_memory()
    console = Console()
    again = f"what was tried is in {trials.journal.path}: run it again for the rest."
    with console.status("the full sampler") as status:
        trials.tell = lambda trial: status.update(f"trial {trials.count}: {trial.candidate.name}")
        try:
            _require_same(full)
            with alone(trials.journal.path):
                own = own_methods(trials, methods, range(effort.rungs[0]), output, console.print)
                found = search(trials, target, effort, methods, console.print, own, also)
        except KeyboardInterrupt:
            raise Stopped(f"Stopped; {again}") from None
        except OutOfTime:
            console.print(f"The limit was reached; {again}")
            raise typer.Exit(NOT_MET) from None
        except ValueError as error:
            raise Failed(str(error)) from None
    if target.cost == "time" and not busy and not trials.is_quiet:
        raise Failed(
            "the machine was not quiet: the full sampler's times right before and right after, or "
            f"a trial's own, differ by more than {QUIET - 1:.0%} at {trials.spoilt} of "
            f"{trials.count} trials, though timed anew {RETRIES} times. Run it again on a quiet "
            "machine: it times only these. Or take --cost operations, or say --busy"
        )
    said = verdict.report(found, target, trials, effort)
    for line in said["words"]:
        console.print(line, highlight=False, markup=False)
    report = beside(output, ".report.json")
    with replaced(output) as partial:
        found.best.candidate.config.save(partial)
    with replaced(report) as partial:
        partial.write_text(json.dumps(said, indent=2) + "\n")
    console.print(f"Configuration: {output}; report: {report}", highlight=False)
    if not said["met_on_held_out_seeds"]:
        raise typer.Exit(NOT_MET)


def _require_same(full: "FullSampler") -> None:
    from clusca_ext.lab.full import Changed

    try:
        full.require_same()
    except Changed as error:
        raise Failed(
            f"{error}. Name another --output; a function of your own may be given another "
            "attribute version instead, and all is drawn anew"
        ) from None
