"""Who recorded: versions, machine and date."""

import datetime
import platform

import torch

from clusca_ext.info import build_info
from clusca_ext.origin import device_name


def origin(device: torch.device | None = None) -> dict[str, str]:
    """What a document says of who made it.

    Args:
        device: Where the model is; default: the processor.
    """
    return {
        "clusca_ext": build_info().version,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": device_name(torch.device("cpu") if device is None else device),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }
