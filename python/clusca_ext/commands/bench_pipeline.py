"""``clusca bench pipeline``: one pipeline, with several caches and without."""

import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from clusca_ext.commands.arguments import words
from clusca_ext.commands.checks import device_of, require_folder
from clusca_ext.commands.endings import Failed, Stopped, first_line

if TYPE_CHECKING:  # diffusers is slow to import, and --help does not need it
    from clusca_ext.drawing.survey import Survey


def pipeline(
    model: Annotated[
        str, typer.Argument(help="As of clusca run: digits, pictures, a folder, or owner/name.")
    ],
    methods: Annotated[
        str, typer.Option(help="Of default, lean and published methods; commas between, or all.")
    ] = "default",
    config: Annotated[
        pathlib.Path | None, typer.Option(help="A configuration that was saved, beside them.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="In words.")] = None,
    label: Annotated[str | None, typer.Option("--class", help="A class.")] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Of a video.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of the sampler.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Scale of guidance.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of its noise.")] = 0,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each; medians.")] = 3,
    warm_up: Annotated[bool, typer.Option(help="A run of each before, which is not timed.")] = True,
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")] = None,
    offload: Annotated[bool, typer.Option("--offload", help="Models wait on the host.")] = False,
    output: Annotated[
        pathlib.Path | None, typer.Option(help="Rows, as JSON; those of a file are replaced.")
    ] = None,
) -> None:
    """Measure a pipeline without a cache and with each of several: times, ratios, PSNR.

    Example: clusca bench pipeline digits --class 3 --steps 10 --methods fora --repeats 2
    """
    from rich.console import Console

    from clusca_ext.commands.progress import Bar
    from clusca_ext.commands.run import size_of
    from clusca_ext.demo.allocator import keep_freed_memory
    from clusca_ext.drawing.choice import by_name, chosen
    from clusca_ext.drawing.request import Request, inputs
    from clusca_ext.drawing.sources import Unreachable, open_source
    from clusca_ext.drawing.survey import Survey
    from clusca_ext.measuring.rows import Recorder
    from clusca_ext.methods import METHODS

    if output is not None:
        require_folder(output)
    on = device_of(device)
    try:
        every = ["default", "lean", *METHODS]
        choices = [by_name(n) for n in (every if methods == "all" else words("methods", methods))]
        choices += [] if config is None else [chosen(config)]
        pixels = None if size is None else size_of(size)
        request = Request(prompt, label, None, pixels, frames, steps, guidance)
        recorder = None if output is None else Recorder(output, device=on)
        if recorder is not None:
            recorder.flush()  # refuses a file of something else before anything is measured
        keep_freed_memory()
        source = open_source(model, on, dtype, offload)
        given = inputs(source, request)
        choices = [choice.on(source.pipeline) for choice in choices]
    except Unreachable as error:
        raise Failed(str(error)) from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    console = Console(highlight=False, soft_wrap=True)
    survey = Survey(source, given, choices, seed)
    count = given.get("num_inference_steps")
    shape = ", ".join([pathlib.Path(model).name, *([f"{count} steps"] if count else [])])
    shape += f", {size}" if size else ""
    stopped = False
    try:
        with Bar(console, count and count * (repeats + warm_up) * (1 + len(choices))) as bar:
            for _ in survey.run(repeats, warm_up, bar):
                pass
    except KeyboardInterrupt:
        stopped = True
    except (ValueError, RuntimeError, TypeError) as error:
        raise Failed(f"{model} could not be drawn: {first_line(error)}") from error
    transformer = getattr(source.pipeline, "transformer", None)
    kind = str(getattr(transformer, "dtype", "")).removeprefix("torch.")
    rows = survey.rows(shape, kind)
    if recorder is not None:
        for row in rows:
            recorder.record(**row)
    _show(survey, bool(rows), on)
    if output is not None and rows:
        console.print(f"Rows: {output}", markup=False)
    if stopped:
        raise Stopped(f"Stopped; {len(rows)} rows are measured.")
    if all(runs.note for runs in survey.cached):
        raise Failed("no cache could be measured")


def _show(survey: "Survey", is_measured: bool, device: str) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from clusca_ext.commands.bench import TIMED_ON_CPU
    from clusca_ext.drawing.compare import decibels

    if not is_measured:
        return
    console = Console(highlight=False, soft_wrap=True)
    on_cpu = not device.startswith("cuda")
    table = Table(box=SIMPLE_HEAD, padding=0)
    table.add_column("method")
    timed = [] if on_cpu else ["seconds"]
    for heading in ("full", "cached", *timed, "speed-up", "PSNR to the full sampler"):
        table.add_column(heading, justify="right")
    if not on_cpu:
        table.add_row(survey.full.name, "", "", f"{survey.full.seconds:.2f}", "1.00x", "")
    for runs in survey.cached:
        if not runs.drawn:
            continue
        done = runs.summary
        steps = ["", ""] if done is None else [str(done.full), str(done.cached + done.partial)]
        seconds = [] if on_cpu else [f"{runs.seconds:.2f}"]
        speed, near = f"{survey.speedup(runs):.2f}x", decibels(survey.psnr(runs))
        table.add_row(runs.name, *steps, *seconds, speed, near)
    console.print(table)
    for runs in survey.cached:
        if runs.note:
            console.print(f"{runs.name}: {runs.note}", markup=False)
    if on_cpu:
        console.print(TIMED_ON_CPU)
    if survey.is_quiet is None:
        console.print("One run of each: whether the machine was quiet is not known.")
    if survey.is_quiet is False:
        console.print(
            "The machine was not quiet: the full sampler's own times differ too much; do not trust "
            "the speed-ups."
        )
