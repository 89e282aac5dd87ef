"""What is asked of a pipeline, as it takes it: whatever it does not take is an error."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clusca_ext.drawing.sources import Source

# The options of the command line, and what pipelines call them.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "--prompt": ("prompt",),
    "--class": ("class_labels",),
    "--negative-prompt": ("negative_prompt",),
    "--size": ("width", "height"),
    "--frames": ("num_frames",),
    "--steps": ("num_inference_steps",),
    "--guidance": ("guidance_scale",),
}
OURS = {"generator", "seeds", "output_type", "on_step"}  # what is given whatever is asked


@dataclass(frozen=True)
class Request:
    """What to draw; None leaves it to the pipeline.

    Attributes:
        prompt: In words.
        label: A class, by its number or name.
        negative_prompt: What it should not be.
        size: Width and height, in pixels.
        frames: Of a video.
        steps: Of the sampler.
        guidance: Scale of guidance.
    """

    prompt: str | None = None
    label: str | None = None
    negative_prompt: str | None = None
    size: tuple[int, int] | None = None
    frames: int | None = None
    steps: int | None = None
    guidance: float | None = None


def parameters(source: Source) -> Mapping[str, inspect.Parameter]:
    """What the pipeline's call takes."""
    return inspect.signature(source.pipeline.__call__).parameters


def takes(source: Source) -> list[str]:
    """The options that it takes."""
    known = parameters(source)
    return [option for option, names in PARAMETERS.items() if set(names) <= set(known)]


def makes_video(source: Source) -> bool:
    return "num_frames" in parameters(source)


def inputs(source: Source, request: Request) -> dict[str, Any]:
    """Keyword arguments of the pipeline's call.

    Raises:
        ValueError: It does not take what is asked, or needs what is not.
    """
    size = request.size or (None, None)
    given: dict[str, tuple[Any, ...]] = {
        "--prompt": (request.prompt,),
        "--class": (request.label,),
        "--negative-prompt": (request.negative_prompt,),
        "--size": size,
        "--frames": (request.frames,),
        "--steps": (source.steps if request.steps is None else request.steps,),
        "--guidance": (request.guidance,),
    }
    name, taken = type(source.pipeline).__name__, takes(source)
    asked = [option for option, values in given.items() if values[0] is not None]
    for option in asked:
        if option not in taken:
            raise ValueError(
                f"{option} is not taken by {name}, which takes {', '.join([*taken, '--seed'])}"
            )
    for option in ("--prompt", "--class"):
        if option in taken and option not in asked:
            raise ValueError(f"{option} is needed by {name}")
    found = {
        parameter: value
        for option in asked
        for parameter, value in zip(PARAMETERS[option], given[option], strict=True)
    }
    if request.label is not None:
        found["class_labels"] = [class_of(source, request.label)]
    needed = [
        each.name
        for each in parameters(source).values()
        if each.default is each.empty
        and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        and each.name not in {*found, *OURS}
    ]
    if needed:
        raise ValueError(
            f"{name} also needs {', '.join(needed)}, which the command line cannot give: call it "
            "from Python"
        )
    return found


def class_of(source: Source, label: str) -> int:
    """The number of a class."""
    if label.isdecimal():
        return int(label)
    if label not in source.labels:
        few = list(source.labels)[:8]
        names = f", or a name such as {', '.join(map(repr, few))}" if few else ""
        raise ValueError(f"--class must be a number{names}, got {label!r}")
    return source.labels[label]
