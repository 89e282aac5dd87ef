"""Short digests, by which files tell whether something is still what it was."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def digest_of(parts: Iterable[bytes]) -> str:
    """Twelve hexadecimal digits of the parts together."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:12]


def weights_digest(model: nn.Module) -> str:
    """Of a model's parameters and buffers, by name, whether it is compiled or not.

    Of what is not plain memory (sharded, quantised, or away while it is offloaded) its shape and
    dtype count alone.
    """
    found = {name.replace("_orig_mod.", ""): each for name, each in model.state_dict().items()}
    parts = (name.encode() + b"\0" + _bytes_of(found[name]) for name in sorted(found))
    return digest_of(parts)


def _bytes_of(value: object) -> bytes:
    if not isinstance(value, Tensor):
        return b""  # a module's extra state
    plain = type(value) in (Tensor, nn.Parameter) and value.layout == torch.strided
    if value.is_meta or value.is_quantized or not plain:
        return f"{list(value.shape)} {value.dtype}".encode()
    flat = value.detach().cpu().contiguous().flatten()
    return flat.view(torch.uint8).numpy().tobytes()
