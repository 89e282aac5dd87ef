"""DiT-XL/2 at 256 x 256, by class: python examples/dit.py --help"""

import torch
from common import run

if __name__ == "__main__":
    run(
        pipeline="DiTPipeline",
        model="facebook/DiT-XL-2-256",
        prompt=207,
        prompt_name="class_labels",
        dtype=torch.float16,
    )
