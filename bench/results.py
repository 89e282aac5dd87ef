"""This project's own rows: bench/results/<machine>.json."""

import importlib.util
import pathlib
import sys

BENCH = pathlib.Path(__file__).parent
if importlib.util.find_spec("clusca_ext") is None:  # gpu.py uses it from its source folder
    sys.path.insert(0, str(BENCH.parent / "python"))

import torch  # noqa: E402

from clusca_ext import origin  # noqa: E402
from clusca_ext.measuring.rows import KEY, NotMeasured, Recorder, read, write  # noqa: E402
from clusca_ext.measuring.timing import DEVICE  # noqa: E402

__all__ = ["BENCH", "FOLDER", "KEY", "NotMeasured", "Recorder", "machine", "read", "write"]
FOLDER = BENCH / "results"


def machine() -> str:
    """A name for files: the device and how many cores it has."""
    return origin.machine(torch.device(DEVICE))
