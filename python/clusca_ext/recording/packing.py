"""Arrays of small integers as text."""

import base64
import binascii
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NONE = 65_535  # stands for -1: a token that is in no cluster


def pack(values: Sequence[int] | NDArray[np.int64]) -> str:
    """Base64 of little-endian uint16; -1 is 65535.

    Args:
        values: Integers from -1 to 65534. [N]

    Raises:
        ValueError: One is outside.
    """
    numbers = np.asarray(values, np.int64).reshape(-1)
    if numbers.size and (numbers.min() < -1 or numbers.max() >= NONE):
        raise ValueError(
            f"values must be integers from -1 to {NONE - 1}, got {numbers.min()} to {numbers.max()}"
        )
    return base64.b64encode(np.where(numbers < 0, NONE, numbers).astype("<u2").tobytes()).decode()


def unpack(text: str) -> list[int]:
    """What ``pack`` packed. [N]

    Raises:
        ValueError: It is not such text.
    """
    try:
        numbers = np.frombuffer(base64.b64decode(text, validate=True), "<u2")
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"values must be base64 of uint16, got {text[:40]!r}: {error}") from None
    return [-1 if value == NONE else value for value in numbers.tolist()]
