"""LTX-Video: python examples/ltx.py --help"""

from common import run

if __name__ == "__main__":
    run(
        pipeline="LTXPipeline",
        model="Lightricks/LTX-Video",
        fps=24,
        height=480,
        width=704,
        num_frames=97,
    )
