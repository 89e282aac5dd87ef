"""Wan 2.2, both experts: python examples/wan.py --help"""

from common import run

if __name__ == "__main__":
    run(
        pipeline="WanPipeline",
        model="Wan-AI/Wan2.2-T2V-A14B-Diffusers",
        steps=40,
        fps=16,
        height=480,
        width=832,
        num_frames=81,
    )
