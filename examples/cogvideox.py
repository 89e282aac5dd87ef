"""CogVideoX 5B: python examples/cogvideox.py --help"""

from common import run

if __name__ == "__main__":
    run(
        pipeline="CogVideoXPipeline",
        model="THUDM/CogVideoX-5b",
        fps=8,
    )
