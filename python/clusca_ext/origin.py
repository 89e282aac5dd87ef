"""Who measured: machine, torch, and the sources that were run."""

import os
import pathlib
import platform
import re
import subprocess
from functools import lru_cache
from importlib.metadata import version

import torch

from clusca_ext.digests import digest_of
from clusca_ext.info import build_info

PACKAGE = pathlib.Path(__file__).parent
# What draws no picture: it may change between two runs.
APART = {"lab", "commands", "measuring", "recording", "drawing", "report"}
APART |= {"cli.py", "origin.py", "quiet.py"}
# Of models, which say what they are, and reports on them.
WEIGHTS = {("demo", model, "transformer") for model in ("digits", "pictures")}
REPORTS = {"report.json", "training.json"}
KEPT = {("lab", "metrics.py"), ("lab", "models.py"), ("lab", "operations.py")}


def device_name(device: torch.device) -> str:
    """The processor or GPU, in its maker's words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text() if cpuinfo.exists() else "")
    model = found.group(1) if found else platform.machine()
    return f"{' '.join(model.split())}, {os.cpu_count()} cores"


def machine(device: torch.device) -> str:
    """A name for files: the device and how many cores it has, as ``bench/results.py`` makes it."""
    name = device_name(device)
    if device.type == "cuda":
        name += f" {torch.cuda.get_device_properties(device).multi_processor_count} sm"
    return re.sub(r"[^a-z0-9]+", "-", name.lower().replace("(r)", "")).strip("-")


def commit() -> str:
    """The commit of the package that is imported; ``"unknown"`` where it has no repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(PACKAGE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # else it lies in another's repository
        changes = git("status", "--porcelain", "--", ":/", ":(top,exclude)bench/results")
        return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if changes else "")
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("CLUSCA_COMMIT", "unknown")


@lru_cache
def sources() -> str:
    """A digest of the package's files that have a part in pictures of any model."""
    parts = []
    for path in sorted(PACKAGE.rglob("*")):
        name = path.relative_to(PACKAGE)
        apart = name.parts[0] in APART and name.parts not in KEPT
        if apart or name.parts[:3] in WEIGHTS or name.name in REPORTS:
            continue
        if path.suffix in (".py", ".so", ".safetensors", ".json"):
            parts.append(str(name).encode() + b"\0" + path.read_bytes())
    return digest_of(parts)


def drawn_by(device: torch.device) -> str:
    """What pictures depend on beside the model, in words: what differs may draw others."""
    who = origin(device)
    names = ("sources", "torch", "diffusers", "machine")
    return ", ".join(f"{name} {who[name]}" for name in names)


def origin(device: torch.device) -> dict[str, str]:
    """What every row says of who measured it."""
    return {
        "version": build_info().version,
        "commit": commit(),
        "sources": sources(),
        "machine": machine(device),
        "device": device_name(device),
        "torch": torch.__version__,
        "diffusers": version("diffusers"),
    }
