"""What the examples share: their arguments, and how a pipeline is run with and without a cache."""

import argparse
import pathlib
import time
from collections.abc import Callable
from typing import Any

import diffusers
import torch
from diffusers.utils import export_to_video, load_image

from clusca_ext import ClusCaConfig, EvenSchedule, enable_cache, summary


def parser(
    model: str,
    prompt: str | int,
    steps: int,
    image: str | None = None,
    storage: str = "per_block",
) -> argparse.ArgumentParser:
    described = base_parser(steps, storage)
    described.add_argument("--model", default=model, help="name on the hub, or a folder")
    described.add_argument("--prompt", type=type(prompt), default=prompt)
    if image is not None:
        described.add_argument("--image", default=image, help="an address, or a path")
    described.add_argument("--offload", action="store_true", help="model offload to the CPU")
    described.add_argument("--output", type=pathlib.Path, default=pathlib.Path("."))
    return described


def base_parser(steps: int, storage: str = "per_block") -> argparse.ArgumentParser:
    """What is not about a checkpoint."""
    described = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    described.add_argument("--steps", type=int, default=steps)
    described.add_argument("--interval", type=int, default=5, help="steps from full to full")
    described.add_argument("--config", type=pathlib.Path, help="a ClusCaConfig, as JSON")
    described.add_argument(
        "--preset", action="store_true", help="settings of ClusCaConfig.for_model"
    )
    described.add_argument(
        "--storage",
        choices=("per_block", "lean"),
        default=storage,
        help="where features lie; --config and --preset say it themselves",
    )
    described.add_argument("--full", action="store_true", help="no cache")
    described.add_argument("--device", default="cuda")
    described.add_argument("--seed", type=int, default=0)
    return described


def run(
    pipeline: str,
    model: str,
    steps: int = 50,
    prompt: str | int = "a red fox in the snow, looking at the camera",
    prompt_name: str = "prompt",
    dtype: torch.dtype = torch.bfloat16,
    fps: int | None = None,
    image: str | None = None,
    parts: Callable[[torch.dtype], dict[str, Any]] = lambda dtype: {},
    **inputs: Any,
) -> None:
    """Load a pipeline, enable its cache, draw, and say what the cache did.

    Args:
        pipeline: Its class in diffusers.
        model: Its checkpoint.
        steps: Steps of the sampler.
        prompt: Default prompt, or class label.
        prompt_name: What the pipeline calls it.
        dtype: Of its weights.
        fps: Of the video; None: it draws an image.
        image: Address of a default picture; None: the pipeline is given none.
        parts: Makes those of the pipeline that are not in its checkpoint, in a dtype.
        inputs: More inputs of its call.
    """
    # Per block, a video of many frames takes more than a GPU has.
    storage = "per_block" if fps is None else "lean"
    options = parser(model, prompt, steps, image, storage).parse_args()
    cls = getattr(diffusers, pipeline)
    pipe = cls.from_pretrained(options.model, torch_dtype=dtype, **parts(dtype))
    if options.offload:
        pipe.enable_model_cpu_offload(device=options.device)
    else:
        pipe.to(options.device)
    if not options.full:
        enable_cache(pipe, config_of(options, pipe))
    given = [options.prompt] if isinstance(options.prompt, int) else options.prompt
    if image is not None:
        inputs["image"] = load_image(options.image)
    start = time.perf_counter()
    out = pipe(
        **{prompt_name: given},
        num_inference_steps=options.steps,
        generator=torch.Generator("cpu").manual_seed(options.seed),
        **inputs,
    )
    print(f"{time.perf_counter() - start:.1f} s in all")
    if not options.full:
        print(summary(pipe))
    name = pipeline.removesuffix("Pipeline").lower()
    if fps is None:
        out.images[0].save(options.output / f"{name}.png")
    else:
        export_to_video(out.frames[0], str(options.output / f"{name}.mp4"), fps=fps)


def config_of(options: argparse.Namespace, pipe: Any) -> ClusCaConfig:
    if options.config is not None:
        return ClusCaConfig.load(options.config)
    if options.preset:
        return ClusCaConfig.for_model(pipe)
    return ClusCaConfig(schedule=EvenSchedule(interval=options.interval), storage=options.storage)
