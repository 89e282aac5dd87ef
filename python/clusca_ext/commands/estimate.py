"""``clusca estimate``: memory and operations of a model at a size, before anything runs."""

import json
import pathlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clusca_ext.commands.endings import Failed

if TYPE_CHECKING:  # diffusers is slow to import, and --help does not need it
    from clusca_ext.drawing.choice import Choice
    from clusca_ext.measuring.checkpoints import Described
    from clusca_ext.measuring.estimates import StorageEstimate, Work

GB = 1e9
STEPS = 50


def estimate(
    model: Annotated[
        str,
        typer.Argument(
            help="A family such as flux, hunyuan_video, wan-14b or dit-xl-2; digits or pictures; a "
            "folder of a pipeline; or owner/name on the Hugging Face Hub, of which only the "
            "configuration is fetched."
        ),
    ],
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT in pixels; default: the model's usual one.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Of a video.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of the sampler; default: the preset's, else 50.")
    ] = None,
    config: Annotated[
        pathlib.Path | None, typer.Option(help="A configuration that was saved, as JSON.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="A published method.")] = None,
    preset: Annotated[str | None, typer.Option(help="What ships with the package.")] = None,
    storage: Annotated[str | None, typer.Option(help="Only this one; default: all.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, float16 or bfloat16.")] = "bfloat16",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, in bytes.")] = False,
) -> None:
    """Tell what a cache will take and save: no weights are loaded, nothing is run.

    Example: clusca estimate hunyuan_video --size 1280x720 --frames 129
    """
    from clusca_ext.commands.run import size_of
    from clusca_ext.drawing.choice import STORAGES, chosen
    from clusca_ext.drawing.sources import DTYPES, Unreachable
    from clusca_ext.measuring.checkpoints import describe_checkpoint
    from clusca_ext.measuring.estimates import storages, work

    try:
        if dtype not in DTYPES:
            raise ValueError(f"--dtype must be one of {list(DTYPES)}, got {dtype!r}")
        if storage is not None and storage not in STORAGES:
            raise ValueError(f"--storage must be one of {list(STORAGES)}, got {storage!r}")
        choice = chosen(config, method, preset)
        pixels = None if size is None else size_of(size)
        described = describe_checkpoint(model, pixels, frames, DTYPES[dtype])
        length = steps or choice.steps or STEPS
        kept = storages(described, choice.config, length, storage)
        counted = work(described, choice.config, length)
    except Unreachable as error:
        raise Failed(str(error)) from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if as_json:
        typer.echo(json.dumps(_values(described, choice, kept, counted), indent=2))
    else:
        _tell(described, choice, kept, counted)


def _values(
    described: "Described",
    choice: "Choice",
    kept: "list[StorageEstimate]",
    counted: "Work | str",
) -> dict[str, Any]:
    """Bytes of a storage are those of all branches of guidance that call the model by itself."""
    branches = described.sized.branches
    return {
        "model": described.name,
        "class": type(described.model).__name__,
        "models": described.count,
        "size": list(described.size),
        "frames": described.frames,
        "tokens": described.at_size.tokens,
        "branches": branches,
        "weights": described.weights,
        "config": choice.config.to_dict(),
        "storages": [
            {"storage": each.storage, "error": each.reason}
            if each.memory is None
            else {
                "storage": each.storage,
                "kept": each.memory.basis,
                "cache": branches * each.memory.total,
                "host": branches * each.memory.parts.get("host", 0),
                "parts": {name: branches * size for name, size in each.memory.parts.items()},
            }
            for each in kept
        ],
        "operations": counted if isinstance(counted, str) else asdict(counted),
    }


def _tell(
    described: "Described",
    choice: "Choice",
    kept: "list[StorageEstimate]",
    counted: "Work | str",
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    width, height = described.size
    video = f" x {described.frames} frames" if described.sized.frames > 1 else ""
    several = f", {described.count} of them" if described.count > 1 else ""
    console.print(
        f"{described.name}: {type(described.model).__name__}{several}, {width} x {height}{video}, "
        f"{described.at_size.tokens} tokens, {choice.name}",
        markup=False,
    )
    table = Table(box=SIMPLE_HEAD, padding=0)
    table.add_column("storage")
    for heading in ("cache, GB", "on the host, GB", "with weights, GB"):
        table.add_column(heading, justify="right")
    branches = described.sized.branches
    for each in kept:
        if each.memory is None:
            table.add_row(each.storage, "cannot be", "", "")
            continue
        cache = branches * each.memory.total / GB
        host = branches * each.memory.parts.get("host", 0) / GB
        total = cache + described.weights / GB
        table.add_row(each.storage, f"{cache:.3g}", f"{host:.3g}" if host else "", f"{total:.3g}")
    console.print(table)
    for each in kept:
        if each.memory is None:
            console.print(f"{each.storage}: {each.reason}", markup=False)
    calls = f", {branches} branches of guidance" if branches > 1 else ""
    console.print(
        f"Weights of the transformer: {described.weights / GB:.3g} GB{calls}. What a step takes "
        "for itself, text encoders and the autoencoder come on top.",
        markup=False,
    )
    if described.count > 1:
        console.print("The cache is that of one of the transformers, which share the steps.")
    if isinstance(counted, str):
        console.print(f"Operations: not counted: {counted}.", markup=False)
        return
    cached = counted.steps - counted.full_steps
    console.print(
        f"Operations: {_amount(counted.full)} a full step, {_amount(counted.cached)} a "
        f"cached one; {counted.full_steps} full and {cached} cached steps: {counted.speedup:.2f}x "
        "fewer than full steps only.",
        markup=False,
    )


def _amount(operations: float) -> str:
    """In units of 10^15, 10^12 or 10^9."""
    for unit, name in ((1e15, "P"), (1e12, "T")):
        if operations >= unit:
            return f"{operations / unit:.3g} {name}"
    return f"{operations / 1e9:.3g} G"
