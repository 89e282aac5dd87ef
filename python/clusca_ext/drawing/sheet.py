"""Pictures side by side with captions: of a video, every frame is such a sheet."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from clusca_ext.drawing.draw import Frames
from clusca_ext.drawing.files import images_of

MARGIN, LINE = 14, 19
PAPER, INK = (250, 250, 248), (30, 30, 30)
LEAST = 256  # screen pixels that a picture has in width, at least


@dataclass(frozen=True)
class Panel:
    """A picture and what is said of it.

    Attributes:
        caption: Its lines.
        frames: Values in [0, 1]. [F, H, W, C]
    """

    caption: Sequence[str]
    frames: Frames


def sheets(rows: Sequence[Sequence[Panel]]) -> list[Image.Image]:
    """One a frame: a row of panels beside each other, below it the next row."""
    count = max(len(panel.frames) for row in rows for panel in row)
    return [_sheet(rows, frame) for frame in range(count)]


def _sheet(rows: Sequence[Sequence[Panel]], frame: int) -> Image.Image:
    font = ImageFont.load_default(size=14)
    placed: list[tuple[int, int, Panel, Image.Image]] = []
    top, width = MARGIN, 0
    for row in rows:
        left, tallest = MARGIN, 0
        for panel in row:
            image = _enlarged(images_of(panel.frames[frame : frame + 1])[0])
            placed.append((left, top, panel, image))
            said = max((font.getlength(line) for line in panel.caption), default=0)
            left += max(image.width, int(said) + 1) + MARGIN
            tallest = max(tallest, image.height + LINE * len(panel.caption))
        width, top = max(width, left), top + tallest + MARGIN
    sheet = Image.new("RGB", (width, top), PAPER)
    pen = ImageDraw.Draw(sheet)
    for left, above, panel, image in placed:
        for index, line in enumerate(panel.caption):
            pen.text((left, above + index * LINE), line, fill=INK, font=font)
        sheet.paste(image, (left, above + LINE * len(panel.caption)))
    return sheet


def _enlarged(image: Image.Image) -> Image.Image:
    """Of a small picture every pixel is a square, so that it can be seen."""
    times = -(-LEAST // image.width)
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
