"""Stable Diffusion 3.5: python examples/sd3.py --help"""

from common import run

if __name__ == "__main__":
    run(
        pipeline="StableDiffusion3Pipeline",
        model="stabilityai/stable-diffusion-3.5-large",
        steps=28,
    )
