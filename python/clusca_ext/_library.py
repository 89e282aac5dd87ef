"""Finds and loads the operator libraries, and remembers why one was not loaded."""

import pathlib
import re

import torch

FOLDER = pathlib.Path(__file__).parent
OPS = FOLDER / "libclusca_ops.so"
CUDA = FOLDER / "libclusca_cuda.so"
TORCH_MINIMUM = (2, 10)  # as CLUSCA_TORCH_MINIMUM of CMakeLists.txt


def check_torch() -> None:
    """Say that torch is too old, before anything that needs a newer one fails.

    The operators for CPUs need as new a torch as those for GPUs, so there is nothing to go on with.

    Raises:
        ImportError: This torch is older than ``TORCH_MINIMUM``.
    """
    found = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if found and tuple(map(int, found.groups())) < TORCH_MINIMUM:
        minimum = ".".join(map(str, TORCH_MINIMUM))
        raise ImportError(
            f"clusca_ext needs torch >= {minimum}, got torch {torch.__version__}: install a newer "
            f'torch, such as by `pip install "torch>={minimum}"`'
        )


def of_the_loader(error: OSError) -> str:
    """What the system's loader said; torch's own words only name the file."""
    return str(error.__cause__ or error)


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
            f"{OPS.name} does not load on torch {torch.__version__}: {of_the_loader(error)}"
        ) from error


def load_cuda() -> str:
    """Load the CUDA kernels where this torch has CUDA.

    Returns:
        Why they were not loaded, as one sentence; empty if they were.
    """
    has = f"torch {torch.__version__}"
    built = CUDA.exists()
    if torch.version.cuda is None:
        unused = f", so this wheel's {CUDA.name} is not used" if built else ""
        return f"{has} is a build without CUDA{unused}"
    major = torch.version.cuda.partition(".")[0]
    has += f" with CUDA {torch.version.cuda}"
    if not built:
        return f"this build of clusca_ext has no CUDA kernels: {has} takes a wheel for CUDA {major}"
    # Another major may load all the same, from a toolkit on the machine: two runtimes in a process.
    runtime = re.search(rb"libcudart\.so\.(\d+)", CUDA.read_bytes())
    needed = runtime[1].decode() if runtime else "of no release"
    if needed != major:
        return (
            f"{CUDA.name} is for CUDA {needed}, which does not fit {has}: install the wheel of "
            f"clusca_ext for CUDA {major}"
        )
    try:
        torch.ops.load_library(CUDA)
    except OSError as error:
        reason = of_the_loader(error)
        if f"libcudart.so.{needed}: cannot open" in reason:
            return (
                f"{CUDA.name} needs libcudart.so.{needed}, which is nowhere on this machine: "
                "install the CUDA runtime that this torch was made for, as "
                "`pip install torch` does"
            )
        return f"{CUDA.name} does not fit {has}: {reason}"
    return ""


check_torch()
load_ops()
cuda_missing = load_cuda()
