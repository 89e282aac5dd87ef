"""FLUX.1 dev: python examples/flux.py --help"""

from common import run

if __name__ == "__main__":
    run(
        pipeline="FluxPipeline",
        model="black-forest-labs/FLUX.1-dev",
        guidance_scale=3.5,
    )
