"""FramePack, from an image: python examples/framepack.py --help"""

from typing import Any

import diffusers
import torch
import transformers
from common import run

DOCUMENTATION = "https://huggingface.co/datasets/huggingface/documentation-images/resolve/main"


def parts(dtype: torch.dtype) -> dict[str, Any]:
    """FramePack's own weights; the rest is HunyuanVideo's."""
    encoder = "lllyasviel/flux_redux_bfl"
    return {
        "transformer": diffusers.HunyuanVideoFramepackTransformer3DModel.from_pretrained(
            "lllyasviel/FramePackI2V_HY", torch_dtype=dtype
        ),
        "image_encoder": transformers.SiglipVisionModel.from_pretrained(
            encoder, subfolder="image_encoder", torch_dtype=dtype
        ),
        "feature_extractor": transformers.SiglipImageProcessor.from_pretrained(
            encoder, subfolder="feature_extractor"
        ),
    }


if __name__ == "__main__":
    run(
        pipeline="HunyuanVideoFramepackPipeline",
        model="hunyuanvideo-community/HunyuanVideo",
        steps=30,
        prompt="a penguin dancing in the snow",
        fps=30,
        image=f"{DOCUMENTATION}/diffusers/penguin.png",
        parts=parts,
        height=832,
        width=480,
        num_frames=91,
        guidance_scale=9.0,
    )
