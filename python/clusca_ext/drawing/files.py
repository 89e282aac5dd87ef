"""Pictures and videos as files, in formats that what is installed can write."""

import importlib.util
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from clusca_ext.drawing.draw import Frames
from clusca_ext.writing import replaced

STILL = (".png", ".jpg", ".jpeg", ".webp")
MOVING = (".mp4", ".gif", ".webp")
EXTRA = 'pip install "clusca_ext[video]"'


def has_video_writer() -> bool:
    """Whether MP4 can be written: imageio with its ffmpeg."""
    return all(importlib.util.find_spec(name) for name in ("imageio", "imageio_ffmpeg"))


def default_suffix(moving: bool) -> str:
    """MP4 where it can be written, else GIF; of a picture PNG."""
    if not moving:
        return ".png"
    return ".mp4" if has_video_writer() else ".gif"


def require_format(path: pathlib.Path, moving: bool) -> None:
    """Refuse a file that could not be written, before anything is drawn.

    Raises:
        ValueError: Its suffix is of no such format, or its format needs what is not installed.
    """
    known = MOVING if moving else STILL
    if path.suffix.lower() not in known:
        kind = "a video" if moving else "a picture"
        raise ValueError(f"--output must end in {', '.join(known)} for {kind}, got {path.name!r}")
    if path.suffix.lower() == ".mp4" and not has_video_writer():
        raise ValueError(f"--output {path.name} needs imageio and its ffmpeg: {EXTRA}")


def images_of(frames: Frames) -> list[Image.Image]:
    """One a frame, from values in [0, 1]; of one channel, grey. [F, H, W, C]"""
    levels = (frames.clip(0, 1) * 255).round().astype(np.uint8)
    if levels.shape[-1] == 1:
        levels = levels.repeat(3, axis=-1)
    return [Image.fromarray(level[..., :3]) for level in levels]


def write(images: Sequence[Image.Image], path: pathlib.Path, fps: int) -> None:
    """A picture, or a video of all images; the file appears whole or not at all."""
    with replaced(path) as partial:
        if path.suffix.lower() == ".mp4":
            _write_mp4(images, partial, fps)
        elif len(images) > 1:
            images[0].save(
                partial, save_all=True, append_images=images[1:], duration=1000 // fps, loop=0
            )
        else:
            images[0].save(partial)


def _write_mp4(images: Sequence[Image.Image], path: pathlib.Path, fps: int) -> None:
    import imageio.v2 as imageio

    writer: Any
    with imageio.get_writer(path, fps=fps, macro_block_size=None) as writer:
        for image in images:
            width, height = image.width // 2 * 2, image.height // 2 * 2  # what its encoder takes
            writer.append_data(np.asarray(image.crop((0, 0, width, height))))
