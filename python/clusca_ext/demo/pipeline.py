"""The embedded model as a diffusers pipeline: a DiT that draws handwritten digits.

Its weights lie in ``digits/`` in diffusers' own format; ``tools/train_digits.py`` made them, and
``digits/report.json`` says from which data and how well it draws.
"""

import pathlib

from diffusers import DDIMScheduler, DiTTransformer2DModel

from clusca_ext.demo.guided import GuidedPipeline, load

FOLDER = pathlib.Path(__file__).parent / "digits"
NUM_CLASSES = 10


class DigitsPipeline(GuidedPipeline):
    """Draws handwritten digits: [B, 1, 32, 32], by DDIM on predictions of the velocity."""

    num_classes = NUM_CLASSES
    classes = "digits 0 to 9"
    guidance = 1.25

    def __init__(self, transformer: DiTTransformer2DModel, scheduler: DDIMScheduler) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, scheduler=scheduler)


def load_digits(folder: str | pathlib.Path = FOLDER) -> DigitsPipeline:
    """The embedded model, or one of its kind from another folder.

    Raises:
        ValueError: The folder does not hold such a model, or its files are damaged.
    """
    return load(DigitsPipeline, DDIMScheduler, folder)
