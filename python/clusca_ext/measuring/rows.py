"""Rows of numbers in a JSON file, and who measured them."""

import json
import pathlib
import time
from typing import Any

import torch

from clusca_ext.measuring.timing import DEVICE
from clusca_ext.origin import commit, device_name
from clusca_ext.writing import replaced

KEY = ("bench", "shape", "dtype", "impl", "device")
Row = dict[str, Any]


def read(path: pathlib.Path) -> list[Row]:
    """The rows of a file, none where it does not exist.

    Raises:
        ValueError: The file holds something else.
    """
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text("utf-8"))
    except ValueError as error:  # neither JSON nor UTF-8
        raise ValueError(f"{path} must be a JSON file of rows: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path} must hold a list of rows, got {type(rows).__name__}")
    return rows


def write(path: pathlib.Path, rows: list[Row]) -> None:
    """All rows or, if this process dies, those that were there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as partial:
        partial.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


class NotMeasured(Exception):
    """Why a row has no numbers."""


class Recorder:
    """Adds rows to a file; a row replaces the one measured before.

    With ``every`` seconds rows are held back as long: thousands of them make a file that is not
    written again for each.

    Args:
        path: The file.
        every: Seconds between two writes, at least.
        device: Where it is measured.
    """

    def __init__(self, path: pathlib.Path, every: float = 0.0, device: str = DEVICE) -> None:
        self.path, self.every = path, every
        self.held: list[Row] = []
        self.written = time.monotonic()
        self.origin = {
            "commit": commit(),
            "device": device_name(torch.device(device)),
            "torch": torch.__version__,
        }

    def record(self, **measured: object) -> None:
        """One row; ``KEY`` names what it is found by."""
        self.held.append(measured | self.origin)
        if time.monotonic() - self.written >= self.every:
            self.flush()

    def flush(self) -> None:
        """Write what was held back."""

        def key(row: Row) -> tuple[Any, ...]:
            return tuple(row.get(name) for name in KEY)  # rows of files for other benches have none

        new = {key(row): row for row in self.held}
        rows = [row for row in read(self.path) if key(row) not in new] + list(new.values())
        write(self.path, sorted(rows, key=lambda r: (r["bench"], r["shape"], r["dtype"])))
        self.held, self.written = [], time.monotonic()
