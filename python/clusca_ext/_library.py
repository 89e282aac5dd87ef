"""Finds and loads the operator libraries, and remembers why one was not loaded."""

import pathlib
import re

import torch

FOLDER = pathlib.Path(__file__).parent
OPS = FOLDER / "libclusca_ops.so"
CUDA = FOLDER / "libclusca_cuda.so"


def load_ops() -> None:
    """Load the schemas and CPU kernels.

    Raises:
        ImportError: The library is missing or does not fit the installed torch.
    """
    if not OPS.exists():
        raise ImportError(
            f"clusca_ext was not built: {OPS.name} is missing beside {FOLDER.name}/__init__.py. "
            "Install a wheel, or run `pip install .` in the project's root."
        )
    try:
        torch.ops.load_library(OPS)
    except OSError as error:
        raise ImportError(
            f"{OPS.name} needs torch >= 2.10, got torch {torch.__version__}: {error}"
        ) from error


def load_cuda() -> str:
    """Load the CUDA kernels where this torch has CUDA.

    Returns:
        Why they were not loaded, as one sentence; empty if they were.
    """
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA"
    if not CUDA.exists():
        return "this build of clusca_ext has no CUDA kernels"
    has = f"torch {torch.__version__} with CUDA {torch.version.cuda}"
    # Another major may load all the same, from a toolkit on the machine: two runtimes in a process.
    found = re.search(rb"libcudart\.so\.(\d+)", CUDA.read_bytes())
    major = found[1].decode() if found else "of no release"
    if major != torch.version.cuda.partition(".")[0]:
        return f"{CUDA.name} is for CUDA {major}, which does not fit {has}"
    try:
        torch.ops.load_library(CUDA)
    except OSError as error:
        return f"{CUDA.name} does not fit {has}: {error}"
    return ""


load_ops()
cuda_missing = load_cuda()
