"""Wan 2.1 VACE, by its prompt alone: python examples/wan_vace.py --help"""

from common import run

if __name__ == "__main__":
    run(
        pipeline="WanVACEPipeline",
        model="Wan-AI/Wan2.1-VACE-1.3B-diffusers",
        fps=16,
        height=480,
        width=832,
        num_frames=81,
    )
