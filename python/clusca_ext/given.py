"""What modulation depends on beside timesteps."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clusca_ext.adapters.description import Args, Kwargs, ModelDescription
from clusca_ext.storage.constants import autocast_dtype


@dataclass(frozen=True)
class Given:
    """What modulation depends on beside timesteps.

    Attributes:
        conditions: The model's inputs; where values can be seen, copies of them.
        dtype: Of the stream.
        versions: How often the conditions had been written to.
    """

    conditions: tuple[Tensor, ...]
    dtype: torch.dtype
    versions: tuple[int, ...]

    @classmethod
    def of(
        cls,
        description: ModelDescription,
        conditions: tuple[Tensor, ...],
        args: Args,
        kwargs: Kwargs,
    ) -> "Given":
        latents = description.latents(args, kwargs)
        kept = tuple(t.clone() if is_free(t) else t for t in conditions)
        dtype = autocast_dtype(latents.device) or latents.dtype
        return cls(kept, dtype, tuple(map(_version, conditions)))

    def holds(self, conditions: Sequence[Tensor]) -> bool:
        """By value where that can be seen; on a device, the same tensors, not written to since."""
        return len(conditions) == len(self.conditions) and all(
            torch.equal(now, then) if is_free(now) else now is then and _version(now) == version
            for now, then, version in zip(conditions, self.conditions, self.versions, strict=True)
        )


def is_free(tensor: Tensor) -> bool:
    """Whether its values can be read without waiting for a device."""
    return not tensor.is_cuda


def _version(tensor: Tensor) -> int:
    """How often it was written to; inference tensors do not count."""
    return 0 if tensor.is_inference() else tensor._version
