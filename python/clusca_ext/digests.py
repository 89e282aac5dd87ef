"""Short digests, by which files tell whether something is still what it was."""

import hashlib
from collections.abc import Iterable

from torch import Tensor, nn


def digest_of(parts: Iterable[bytes]) -> str:
    """Twelve hexadecimal digits of the parts together."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:12]


def weights_digest(model: nn.Module) -> str:
    """Of a model's parameters and buffers, by name; of those that are away, the name alone."""
    return digest_of(
        name.encode() + b"\0" + (b"" if tensor.is_meta else _bytes_of(tensor))
        for name, tensor in sorted(model.state_dict().items())
    )


def _bytes_of(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().float().numpy().tobytes()
