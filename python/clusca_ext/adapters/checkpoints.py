"""Which published checkpoint a model is, as far as its configuration says."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from clusca_ext.adapters import class_of

_WAN = "WanTransformer3DModel"
_WAN_14B = {"num_layers": 40, "num_attention_heads": 40}
# Of frames at both ends it has as many channels, and embeds two pictures.
_WAN_I2V = {**_WAN_14B, "in_channels": 36, "image_dim": 1280, "pos_embed_seq_len": None}
_COGVIDEOX = "CogVideoXTransformer3DModel"
_COGVIDEOX_5B = {"num_layers": 42, "num_attention_heads": 48}

CHECKPOINTS: dict[str, tuple[str, dict[str, Any]]] = {  # name: class, what its configuration has
    "Wan2.1-T2V-1.3B": (_WAN, {"num_layers": 30, "num_attention_heads": 12, "in_channels": 16}),
    "Wan2.1-T2V-14B": (_WAN, {**_WAN_14B, "in_channels": 16}),
    "Wan2.1-I2V-14B-480P": (_WAN, _WAN_I2V),
    "Wan2.1-I2V-14B-720P": (_WAN, _WAN_I2V),
    "CogVideoX-2b": (
        _COGVIDEOX,
        {"num_layers": 30, "num_attention_heads": 30, "in_channels": 16, "patch_size_t": None},
    ),
    "CogVideoX-5b": (_COGVIDEOX, {**_COGVIDEOX_5B, "in_channels": 16, "patch_size_t": None}),
    "CogVideoX-5b-I2V": (_COGVIDEOX, {**_COGVIDEOX_5B, "in_channels": 32, "patch_size_t": None}),
    "CogVideoX1.5-5B": (_COGVIDEOX, {**_COGVIDEOX_5B, "in_channels": 16, "patch_size_t": 2}),
    "CogVideoX1.5-5B-I2V": (_COGVIDEOX, {**_COGVIDEOX_5B, "in_channels": 32, "patch_size_t": 2}),
}


def checkpoint_of(parts: Sequence[nn.Module]) -> str:
    """Its name; empty where the model is none of them, or it cannot be told which.

    Two of one configuration are told apart by where the model was loaded from, if that names one.

    Args:
        parts: The pipeline's transformers. Two are those of Wan 2.2, which each looks like 2.1.
    """
    config = getattr(parts[0], "config", None)
    loaded_from = str(getattr(config, "_name_or_path", "")).upper()
    if len(parts) > 1 or "WAN2.2" in loaded_from:
        return ""
    found = [
        name
        for name, (kind, has) in CHECKPOINTS.items()
        if class_of(parts[0]) == kind
        and all(getattr(config, key, None) == value for key, value in has.items())
    ]
    if len(found) > 1:
        found = [name for name in found if name.split("-")[-1] in loaded_from]
    return found[0] if len(found) == 1 else ""
