"""Qwen-Image, with true guidance: python examples/qwen_image.py --help"""

from common import run

if __name__ == "__main__":
    run(
        pipeline="QwenImagePipeline",
        model="Qwen/Qwen-Image",
        negative_prompt=" ",
        true_cfg_scale=4.0,
    )
