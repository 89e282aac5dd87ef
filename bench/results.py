"""Rows of numbers in bench/results/<machine>.json, and who measured them."""

import json
import os
import pathlib
import platform
import re
import subprocess
import time
from typing import Any

import torch

from timing import DEVICE

BENCH = pathlib.Path(__file__).parent
FOLDER = BENCH / "results"
KEY = ("bench", "shape", "dtype", "impl", "device")


def device_name() -> str:
    if DEVICE == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    found = re.search(r"model name\s*:\s*(.+)", text)
    model = found.group(1) if found else platform.machine()
    return f"{' '.join(model.split())}, {os.cpu_count()} cores"


def machine() -> str:
    """A name for files: the device and how many cores it has."""
    name = device_name()
    if DEVICE == "cuda":
        name += f" {torch.cuda.get_device_properties(0).multi_processor_count} sm"
    return re.sub(r"[^a-z0-9]+", "-", name.lower().replace("(r)", "")).strip("-")


def commit() -> str:
    """The commit of the package that is imported, wherever it lies, not of this folder.

    What the benchmarks write does not make it dirty. That the libraries were built from these
    sources is the caller's promise; so is ``CLUSCA_COMMIT``, where a copy is measured.
    """

    import clusca_ext  # only where something is measured: gpu.py and report.py run without it

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(pathlib.Path(clusca_ext.__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changes = git("status", "--porcelain", "--", ":/", ":(top,exclude)bench/results")
        return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if changes else "")
    except (OSError, subprocess.CalledProcessError):  # a copy without its repository
        return os.environ.get("CLUSCA_COMMIT", "unknown")


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text()) if path.exists() else []


def write(path: pathlib.Path, rows: list[dict[str, Any]]) -> None:
    """All rows or, if this process dies, those that were there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    partial.replace(path)


class NotMeasured(Exception):
    """Why a row has no numbers."""


class Recorder:
    """Adds rows to a file; a row replaces the one measured before.

    With ``every`` seconds rows are held back as long: thousands of them make a file that is not
    written again for each.
    """

    def __init__(self, path: pathlib.Path, every: float = 0.0) -> None:
        self.path, self.every = path, every
        self.held: list[dict[str, Any]] = []
        self.written = time.monotonic()
        self.origin = {"commit": commit(), "device": device_name(), "torch": torch.__version__}

    def record(self, **measured: object) -> None:
        self.held.append(measured | self.origin)
        if time.monotonic() - self.written >= self.every:
            self.flush()

    def flush(self) -> None:
        def key(row: dict[str, Any]) -> tuple[Any, ...]:
            return tuple(row[name] for name in KEY)

        new = {key(row): row for row in self.held}
        rows = [row for row in read(self.path) if key(row) not in new] + list(new.values())
        write(self.path, sorted(rows, key=lambda r: (r["bench"], r["shape"], r["dtype"])))
        self.held, self.written = [], time.monotonic()
