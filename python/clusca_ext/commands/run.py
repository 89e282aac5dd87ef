"""``clusca run``: draws with any supported pipeline of diffusers, or with an embedded model."""

import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from clusca_ext.commands.checks import device_of, require_folder

if TYPE_CHECKING:  # diffusers is slow to import, and --help does not need it
    pass

WHAT, HOW, CACHE, FILES = "What to draw", "How", "Cache", "Files"


def run(
    model: Annotated[
        str,
        typer.Argument(
            help="digits or pictures (embedded), a folder of a pipeline of diffusers, or its "
            "owner/name on the Hugging Face Hub. Weights are read from safetensors only."
        ),
    ],
    prompt: Annotated[str | None, typer.Option(help="In words.", rich_help_panel=WHAT)] = None,
    label: Annotated[
        str | None,
        typer.Option("--class", help="A class, by number or name.", rich_help_panel=WHAT),
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option(help="What it should not be.", rich_help_panel=WHAT)
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT in pixels.", rich_help_panel=WHAT)
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Of a video.", rich_help_panel=WHAT)
    ] = None,
    count: Annotated[
        int,
        typer.Option(min=1, help="Pictures, of one seed each.", rich_help_panel=WHAT),
    ] = 1,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the first picture.", rich_help_panel=WHAT)
    ] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of the sampler.", rich_help_panel=HOW)
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Scale of guidance.", rich_help_panel=HOW)
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="float32, float16 or bfloat16; default: bfloat16 on a GPU, else float32.",
            rich_help_panel=HOW,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="cpu, cuda or cuda:N; default: the GPU, if there is one.", rich_help_panel=HOW
        ),
    ] = None,
    offload: Annotated[
        bool,
        typer.Option("--offload", help="Models wait on the host.", rich_help_panel=HOW),
    ] = False,
    config: Annotated[
        pathlib.Path | None,
        typer.Option(help="A configuration that was saved, as JSON.", rich_help_panel=CACHE),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="A published method, such as teacache.", rich_help_panel=CACHE),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="What ships with the package; --list shows it.", rich_help_panel=CACHE),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="per_block, lean, window, exact, shared-emb, gated or lean-host.",
            rich_help_panel=CACHE,
        ),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="The untouched model.", rich_help_panel=CACHE)
    ] = False,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Draw without the cache, too, side by side.", rich_help_panel=CACHE
        ),
    ] = False,
    repeats: Annotated[
        int, typer.Option(min=1, help="Of --compare: times are medians.", rich_help_panel=CACHE)
    ] = 1,
    warm_up: Annotated[
        int,
        typer.Option(
            min=0, help="Of --compare: steps of a run before all others.", rich_help_panel=CACHE
        ),
    ] = 3,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="The picture or video; default: clusca-run.png, or .mp4 or .gif.",
            rich_help_panel=FILES,
        ),
    ] = None,
    fps: Annotated[
        int, typer.Option(min=1, max=240, help="Of a video.", rich_help_panel=FILES)
    ] = 16,
    record: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Of --compare: what happened at every step, for clusca report.",
            rich_help_panel=FILES,
        ),
    ] = None,
    list_choices: Annotated[
        bool,
        typer.Option("--list", help="Only name methods and presets.", rich_help_panel=CACHE),
    ] = False,
) -> None:
    """Draw with a cache, or with --compare also without it: the same seeds side by side.

    What the pipeline does not take is an error that says what it does. Interrupted, it keeps what
    is finished.

    Example: clusca run digits --class 3 --steps 20 --compare --output three.png
    """
    from clusca_ext.commands.run_job import Job, perform
    from clusca_ext.drawing.choice import chosen, presets
    from clusca_ext.drawing.request import Request
    from clusca_ext.methods import METHODS

    if list_choices:
        typer.echo(f"methods: {', '.join(METHODS)}\npresets: {', '.join(presets())}")
        return
    if not compare and (record is not None or repeats > 1):
        raise typer.BadParameter("--record and --repeats are parts of --compare")
    if no_cache and (compare or config or method or preset or storage):
        raise typer.BadParameter("--no-cache goes with no other option about the cache")
    for path in (output, record):
        if path is not None:
            require_folder(path)
    on = device_of(device)
    try:
        choice = None if no_cache else chosen(config, method, preset, storage)
        request = Request(
            prompt=prompt,
            label=label,
            negative_prompt=negative_prompt,
            size=None if size is None else size_of(size),
            frames=frames,
            steps=steps,
            guidance=guidance,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    seeds = range(seed, seed + count)
    job: Job = Job(request, choice, seeds, compare, repeats, warm_up, output, fps, record)
    perform(job, model, on, dtype, offload)


def size_of(words: str) -> tuple[int, int]:
    """Width and height of words such as 1024x768.

    Raises:
        ValueError: They are no such words.
    """
    width, x, height = words.lower().partition("x")
    if not (x and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ValueError(f"--size must be WIDTHxHEIGHT in pixels, such as 1024x768, got {words!r}")
    return int(width), int(height)
