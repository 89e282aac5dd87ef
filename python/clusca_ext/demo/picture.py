"""The demo's picture: the grids side by side, and clusters and representatives on a sample."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from clusca_ext.demo.run import Result

SCALE = 2  # screen pixels a pixel of a sample
MARGIN = 14
LINE = 18
PAPER = (250, 250, 248)
INK = (30, 30, 30)

# Sixteen colours that can be told apart on grey (Tableau's twenty, without the greys).
COLOURS = np.array(
    [
        (78, 121, 167), (160, 203, 232), (242, 142, 43), (255, 190, 125),
        (89, 161, 79), (140, 209, 125), (182, 153, 45), (241, 206, 99),
        (73, 152, 148), (134, 188, 182), (225, 87, 89), (255, 157, 154),
        (211, 114, 149), (250, 191, 210), (176, 122, 161), (157, 118, 96),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class ClusterFrame:
    """The clusters of one sample at a cached step.

    Attributes:
        step: The step.
        image: The sample after it. [1, 32, 32]
        cluster_ids: Cluster of every token. [N]
        representatives: Tokens computed at this step. [K]
    """

    step: int
    image: Tensor
    cluster_ids: Tensor
    representatives: Tensor


def draw(results: Sequence[Result], frames: Sequence[ClusterFrame]) -> Image.Image:
    """Compose the picture: a panel of samples a row of the table, then a panel a frame."""
    font = ImageFont.load_default(size=13)
    grids = [(_caption(result), _grid(result.sampled.images)) for result in results]
    maps = [(f"step {frame.step}", _clusters(frame)) for frame in frames]
    columns = 5
    rows = [grids[i : i + columns] for i in range(0, len(grids), columns)]
    title = "Clusters (colours) and the representatives computed at cached steps (white), sample 0"
    heights = [max(image.height for _, image in row) + 2 * LINE + MARGIN for row in rows]
    width = max(
        columns * (grids[0][1].width + MARGIN) + MARGIN,
        sum(image.width + MARGIN for _, image in maps) + MARGIN,
    )
    map_height = maps[0][1].height + 2 * LINE + 2 * MARGIN if maps else 0
    sheet = Image.new("RGB", (width, MARGIN + sum(heights) + map_height), PAPER)
    pen = ImageDraw.Draw(sheet)
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        _place(sheet, pen, font, row, top, lines=2)
        top += height
    if maps:
        pen.text((MARGIN, top), title, fill=INK, font=font)
        _place(sheet, pen, font, maps, top + LINE + 4, lines=1)
    return sheet


def _place(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    panels: Sequence[tuple[str, Image.Image]],
    top: int,
    lines: int,
) -> None:
    left = MARGIN
    for caption, image in panels:
        pen.text((left, top), caption, fill=INK, font=font, spacing=3)
        sheet.paste(image, (left, top + lines * LINE))
        left += image.width + MARGIN


def _caption(result: Result) -> str:
    row = result.sampled.row
    if result.psnr is None:
        return f"{row.name}\n{result.sampled.seconds:.1f} s"
    return f"{row.name}, interval {row.interval}\n{result.speedup:.1f}x, {result.psnr.mean:.1f} dB"


def _pixels(image: Tensor) -> NDArray[np.uint8]:
    values = ((image[0].numpy() + 1) * 127.5).clip(0, 255).astype(np.uint8)
    return np.kron(values, np.ones((SCALE, SCALE), np.uint8))


def _grid(images: Tensor) -> Image.Image:
    """The first sixteen samples, four a row."""
    shown = [_pixels(image) for image in images[:16]]
    side = 4 if len(shown) > 4 else 2
    shown += [np.zeros_like(shown[0])] * (side * side - len(shown))
    lines = [np.hstack(shown[i : i + side]) for i in range(0, side * side, side)]
    return Image.fromarray(np.vstack(lines)).convert("RGB")


def _clusters(frame: ClusterFrame) -> Image.Image:
    """The sample tinted by cluster, a white square on every representative."""
    side = int(len(frame.cluster_ids) ** 0.5)
    grey = _pixels(frame.image).astype(np.float64)
    cell = grey.shape[0] // side
    colours = COLOURS[frame.cluster_ids.numpy() % len(COLOURS)].reshape(side, side, 3)
    tint = colours.repeat(cell, 0).repeat(cell, 1)
    mixed = 0.45 * grey[..., None] + 0.55 * tint
    for token in frame.representatives.tolist():
        if token >= 0:
            y, x = divmod(token, side)
            mixed[y * cell : (y + 1) * cell, x * cell : (x + 1) * cell] = 255
    picture = Image.fromarray(mixed.clip(0, 255).astype(np.uint8))
    return picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST)
