"""FLUX.2 dev: python examples/flux2.py --help"""

from common import run

if __name__ == "__main__":
    run(
        pipeline="Flux2Pipeline",
        model="black-forest-labs/FLUX.2-dev",
        guidance_scale=4.0,
    )
