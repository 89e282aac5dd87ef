"""Which GPUs are too old for the CUDA kernels, told when CUDA starts and never before.

Asking a GPU for its age starts CUDA, after which a process cannot be forked; so importing asks
nothing. torch calls back once it has started CUDA for a reason of its own: before the first tensor
is on a GPU, and so before the first kernel.
"""

import warnings

import torch

CAPABILITY = (8, 0)  # of the PTX that cmake/cuda.cmake embeds for chips that are not listed


def too_old(index: int) -> str:
    """Why a GPU cannot run the kernels, as one sentence; empty if it can. Starts CUDA.

    Args:
        index: The GPU's, as in ``cuda:0``.
    """
    major, minor = torch.cuda.get_device_capability(index)
    if (major, minor) >= CAPABILITY:
        return ""
    needed = "".join(map(str, CAPABILITY))
    return (
        f"cuda:{index} ({torch.cuda.get_device_name(index)}) is of sm_{major}{minor}, and the "
        f"CUDA kernels of clusca_ext need sm_{needed} or newer: use its CPU operators, or leave "
        "the cache off there"
    )


def warn_of_old_ones() -> None:
    """One warning for each GPU that is too old. Starts CUDA."""
    for index in range(torch.cuda.device_count()):
        if reason := too_old(index):
            warnings.warn(reason, stacklevel=2)


def watch() -> None:
    """Have ``warn_of_old_ones`` called when torch starts CUDA; at once, where it has.

    ``torch.cuda._lazy_call`` is how torch itself waits for that with its own check of this kind.
    """
    torch.cuda._lazy_call(warn_of_old_ones)


def explained(error: RuntimeError) -> RuntimeError | None:
    """What an operator's error means, where a GPU that is too old has made it; else nothing."""
    if "no kernel image" not in str(error) or not torch.cuda.is_initialized():
        return None
    reasons = [too_old(index) for index in range(torch.cuda.device_count())]
    reason = next(filter(None, reasons), "")
    return RuntimeError(reason) if reason else None
