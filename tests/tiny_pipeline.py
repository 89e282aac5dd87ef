"""A tiny model of an embedded one's kind, in a folder: what tests of commands run."""

import shutil

import torch
from diffusers import DiTTransformer2DModel


def tiny(folder, scheduler, channels, classes):
    """Two blocks and sixteen tokens, with random weights."""
    torch.manual_seed(0)
    model = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=channels,
        out_channels=channels,
        num_layers=2,
        sample_size=32,
        patch_size=8,
        num_embeds_ada_norm=classes,
        norm_type="ada_norm_zero",
    )
    model.save_pretrained(folder / "transformer")
    shutil.copytree(scheduler / "scheduler", folder / "scheduler")
    return folder
