"""``clusca smooth``: measure how modules of an embedded model change, and mask the stillest."""

import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from clusca_ext.commands.endings import Stopped

if TYPE_CHECKING:  # diffusers is slow to import, and --help does not need it
    from clusca_ext.learning.smooth import ErrorCurves

_SHARE = 0.25


def smooth(
    output: Annotated[
        pathlib.Path, typer.Option(help="Folder for curves, masks, picture and report.")
    ] = pathlib.Path("clusca-smooth"),
    model: Annotated[
        str, typer.Option(help="An embedded model, or a folder that holds one of its kind.")
    ] = "digits",
    steps: Annotated[int, typer.Option(min=2, help="Steps of a run.")] = 20,
    max_gap: Annotated[
        int | None,
        typer.Option(min=1, help="Steps that an output is used after its own, at most; else 3."),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of the full sampler to measure.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Samples of a run.")] = 8,
    bound: Annotated[
        float | None, typer.Option(min=0, help="Largest error of an output that is used again.")
    ] = None,
    leave_out: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Instead of --bound: share of the run; else 0.25."),
    ] = None,
    by_module: Annotated[
        bool, typer.Option("--by-module", help="Each module by its own error, not its kind's.")
    ] = False,
    samples: Annotated[int, typer.Option(min=2, help="Samples to measure the masks on.")] = 32,
) -> None:
    """Measure how much modules change between steps, and leave out what changes least.

    Nothing is trained: this is SmoothCache. Masks are compared with evenly spread full steps.

    Example: clusca smooth --steps 20 --leave-out 0.25 --output smooth
    """
    max_gap = min(3, steps - 1) if max_gap is None else max_gap
    if bound is not None and leave_out is not None:
        raise typer.BadParameter("one of --bound and --leave-out must be given, got both")
    from functools import partial

    from rich.console import Console

    from clusca_ext.commands.compared_masks import left_out, show
    from clusca_ext.lab.models import open_embedded
    from clusca_ext.learning.calibration import calibrate
    from clusca_ext.learning.comparison import compare, plain
    from clusca_ext.learning.embedded import Task
    from clusca_ext.learning.report import write_masks
    from clusca_ext.writing import replaced

    console, by = Console(), "module" if by_module else "kind"
    try:
        pipeline, _ = open_embedded(model)
        sample = partial(Task(steps=steps, batch=batch).sample, pipeline)
        with console.status("measuring modules"):
            curves = calibrate(pipeline.transformer, sample, steps, max_gap, range(runs))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if bound is None:
        leave_out = _SHARE if leave_out is None else leave_out
        schedule = curves.leaving_out(leave_out, by=by)
    else:
        schedule = curves.schedule(bound, by=by)
    report: dict[str, object] = {
        "num_steps": steps,
        "max_gap": max_gap,
        "runs": runs,
        "batch": batch,
        "bound": bound,
        "leave_out": leave_out,
        "by": by,
        "removed": round(schedule.removed, 4),
    }
    output.mkdir(parents=True, exist_ok=True)
    with replaced(output / "curves.json") as unfinished:
        curves.save(unfinished)
    write_masks(schedule, report, output)
    say = partial(console.print, highlight=False, soft_wrap=True)
    say(f"Errors from step to step: {_ranges(curves)}")
    if not schedule.removed:
        say(
            "Nothing is left out, so that there is nothing to compare: take a larger --bound or "
            f"--leave-out. Files: {output}"
        )
        return
    say(f"Left out: {left_out(schedule)}")
    try:
        with console.status("comparing masks"):
            compared = compare(pipeline, schedule, samples)
    except KeyboardInterrupt:
        raise Stopped(f"Stopped before the comparison; masks and curves: {output}") from None
    write_masks(schedule, report | plain(compared, samples, "masks"), output)
    show(compared, "masks", samples, output, console)


def _ranges(curves: "ErrorCurves") -> str:
    """The smallest and the largest error of each kind, from a step to the next."""
    return ", ".join(
        f"{kind} {min(rows[0]):.3g} to {max(rows[0]):.3g}" for kind, rows in curves.kinds.items()
    )
