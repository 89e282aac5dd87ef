"""What ``clusca run`` does once its arguments are known to fit together."""

import dataclasses
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from rich.console import Console

from clusca_ext.commands.checks import require_folder
from clusca_ext.commands.endings import Failed, Stopped, first_line
from clusca_ext.commands.progress import Bar
from clusca_ext.demo.allocator import keep_freed_memory
from clusca_ext.drawing.choice import Choice
from clusca_ext.drawing.compare import Compared, compare, decibels
from clusca_ext.drawing.draw import draw
from clusca_ext.drawing.files import default_suffix, images_of, require_format, write
from clusca_ext.drawing.record import record
from clusca_ext.drawing.request import Request, inputs, makes_video, parameters
from clusca_ext.drawing.sheet import sheets
from clusca_ext.drawing.sources import Source, Unreachable, open_source
from clusca_ext.enable import disable_cache, enable_cache, summary


@dataclass(frozen=True)
class Job:
    """What is asked of the command.

    Attributes:
        request: What to draw.
        choice: The cache; None: the untouched model.
        seeds: Of the pictures.
        compares: Whether it is also drawn without the cache.
        repeats: Of the comparison.
        warm_up: Steps before it.
        output: The file; None: a name of ours.
        fps: Of a video.
        record: Where what happened is written; None: nowhere.
    """

    request: Request
    choice: Choice | None
    seeds: Sequence[int]
    compares: bool
    repeats: int
    warm_up: int
    output: pathlib.Path | None
    fps: int
    record: pathlib.Path | None


def perform(job: Job, model: str, device: str, dtype: str | None, offload: bool) -> None:
    """Open the model and draw.

    Raises:
        typer.BadParameter: The model or what is asked of it does not fit.
        Failed: It could not be drawn.
        Stopped: It was interrupted.
    """
    keep_freed_memory()
    console = Console(soft_wrap=True, highlight=False)
    with Bar(console) as bar:
        try:
            source = open_source(model, device, dtype, offload)
            given = inputs(source, _with_steps(job))
            output = _output(job, source)
            if job.choice is not None:  # whether it fits this model, before anything is drawn
                choice = job.choice.on(source.pipeline)
                job = dataclasses.replace(job, choice=choice)
                disable_cache(enable_cache(source.pipeline, choice.config))
        except Unreachable as error:
            raise Failed(str(error)) from None
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        steps = given.get("num_inference_steps") or _default_steps(source)
        try:
            if job.compares:
                _compare(job, source, given, steps, output, bar, console)
            else:
                _draw(job, source, given, steps, output, bar, console)
        except (ValueError, RuntimeError, TypeError, AssertionError) as error:
            raise Failed(f"{model} could not be drawn: {first_line(error)}") from error


def _default_steps(source: Source) -> int | None:
    """Steps of the sampler that its pipeline takes where it is told none."""
    taken = parameters(source).get("num_inference_steps")
    return taken.default if taken is not None and isinstance(taken.default, int) else None


def _with_steps(job: Job) -> Request:
    """As many steps as the cache was made for, where it says so."""
    made_for = None if job.choice is None else job.choice.steps
    if made_for is None or job.request.steps == made_for:
        return job.request
    if job.request.steps is not None:
        raise ValueError(f"--steps must be {made_for} of this preset, got {job.request.steps}")
    return dataclasses.replace(job.request, steps=made_for)


def _output(job: Job, source: Source) -> pathlib.Path:
    moving = makes_video(source)
    output = job.output or pathlib.Path(f"clusca-run{default_suffix(moving)}")
    require_folder(output)
    require_format(output, moving)
    return output


def _draw(
    job: Job,
    source: Source,
    given: dict[str, Any],
    steps: int | None,
    output: pathlib.Path,
    bar: Bar,
    console: Console,
) -> None:
    """Every picture by itself, written as soon as it is finished."""
    bar.expect(steps and steps * len(job.seeds))
    written: list[pathlib.Path] = []
    if job.choice is not None:
        enable_cache(source.pipeline, job.choice.config)
    try:
        for seed in job.seeds:
            bar.begin(f"seed {seed}")
            drawn = draw(source, given, seed, bar.step)
            several = len(job.seeds) > 1
            path = output.with_stem(f"{output.stem}-{seed}") if several else output
            write(images_of(drawn.frames), path, job.fps)
            written.append(path)
            kind = "Video" if len(drawn.frames) > 1 else "Picture"
            console.print(f"{kind}: {path}, seed {seed}, {drawn.seconds:.2f} s", markup=False)
        if job.choice is not None:
            console.print(f"\n{job.choice.name}\n{summary(source.pipeline)}", markup=False)
    except KeyboardInterrupt:
        kept = f"kept: {', '.join(map(str, written))}" if written else "nothing was finished"
        raise Stopped(f"Stopped; {kept}.") from None
    finally:
        if job.choice is not None:
            disable_cache(source.pipeline)


def _compare(
    job: Job,
    source: Source,
    given: dict[str, Any],
    steps: int | None,
    output: pathlib.Path,
    bar: Bar,
    console: Console,
) -> None:
    assert job.choice is not None
    runs = 2 * job.repeats * len(job.seeds) + 2 * (job.record is not None)
    warm_up = job.warm_up if "num_inference_steps" in parameters(source) else 0
    bar.expect(steps and steps * runs + warm_up)
    found = Compared(job.choice, job.seeds, warm_up)
    try:
        compare(source, given, job.choice, job.seeds, bar, job.repeats, warm_up, found)
    except KeyboardInterrupt:
        if not found.full:
            raise Stopped("Stopped; nothing was finished.") from None
        write(sheets(found.panels()), output, job.fps)
        raise Stopped(f"Stopped; what was finished is in {output}.") from None
    write(sheets(found.panels()), output, job.fps)
    _tell(found, console)
    console.print(f"Side by side: {output}", markup=False)
    if job.record is not None:
        try:
            document = record(source, given, found, bar)
        except KeyboardInterrupt:
            raise Stopped(f"Stopped; the pictures are in {output}, no recording.") from None
        document.save(job.record)
        console.print(f"Recording: {job.record}; clusca report {job.record}", markup=False)


def _tell(found: Compared, console: Console) -> None:
    """Times, nearness, and what the cache did."""
    from rich.table import Table

    table = Table("", "seconds", "speed", "PSNR to the full sampler")
    table.add_row("full sampler", f"{found.full_seconds:.2f}", "1.00x", "")
    speed = f"{found.speedup:.2f}x"
    table.add_row(found.choice.name, f"{found.cached_seconds:.2f}", speed, decibels(found.psnr))
    console.print(table)
    console.print(found.timing(), markup=False)
    if found.is_quiet is False:
        console.print(found.BUSY, markup=False)
    console.print(f"\n{found.summary}", markup=False)
