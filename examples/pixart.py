"""PixArt-Sigma: python examples/pixart.py --help"""

import torch
from common import run

if __name__ == "__main__":
    run(
        pipeline="PixArtSigmaPipeline",
        model="PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
        steps=20,
        dtype=torch.float16,
    )
