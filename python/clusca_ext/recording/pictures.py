"""Pictures as text, and how far two of them are apart."""

import base64
import binascii
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from clusca_ext.recording.limits import SIDE

PREFIX = "data:image/png;base64,"
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def data_uri(picture: Image.Image) -> str:
    """A PNG within a URI; its longer side has ``limits.SIDE`` pixels at most."""
    shown = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
    longest = max(shown.size)
    if longest > SIDE:
        size = tuple(max(1, round(side * SIDE / longest)) for side in shown.size)
        shown = shown.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    shown.save(file, "PNG", optimize=True)
    return PREFIX + base64.b64encode(file.getvalue()).decode()


def require_data_uri(where: str, value: str) -> None:
    """
    Raises:
        ValueError: It is no PNG within a URI: nothing else is put into a page.
    """
    found = b""
    if value.startswith(PREFIX):
        try:
            found = base64.b64decode(value.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            found = b""
    if not found.startswith(SIGNATURE):
        raise ValueError(f"{where} must be a PNG, {PREFIX}..., got {value[:60]!r}")


def pictures_of(images: Tensor) -> list[Image.Image]:
    """Pictures of values in [-1, 1].

    Args:
        images: Grey or coloured. [B, 1 or 3, H, W]

    Raises:
        ValueError: They are of another shape.
    """
    if images.dim() != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images must be [B, 1 or 3, H, W], got {list(images.shape)}")
    values = ((images.detach().float().cpu() + 1) * 127.5).round().clamp(0, 255)
    pixels = values.permute(0, 2, 3, 1).numpy().astype(np.uint8)
    return [Image.fromarray(each[..., 0] if each.shape[2] == 1 else each) for each in pixels]


def squared_errors(
    pictures: Sequence[Image.Image], reference: Sequence[Image.Image]
) -> tuple[float, ...]:
    """Mean squared error of each picture, values in [0, 1]; its PSNR is ``-10 log10`` of that.

    Args:
        pictures: Some pictures.
        reference: What each is compared with.

    Raises:
        ValueError: Their number or sizes differ.
    """
    if len(pictures) != len(reference):
        raise ValueError(f"reference must be {len(pictures)} pictures, got {len(reference)}")
    errors = []
    for index, (one, other) in enumerate(zip(pictures, reference, strict=True)):
        if one.size != other.size:
            raise ValueError(
                f"picture {index} of reference must be {one.size} as the other, got {other.size}"
            )
        ours, theirs = (np.asarray(each.convert("RGB"), np.float64) / 255 for each in (one, other))
        errors.append(float(np.square(ours - theirs).mean()))
    return tuple(errors)
