"""Mochi 1: python examples/mochi.py --help"""

from common import run

if __name__ == "__main__":
    run(
        pipeline="MochiPipeline",
        model="genmo/mochi-1-preview",
        fps=30,
        num_frames=61,
    )
