"""The larger embedded model as a diffusers pipeline: a DiT that draws crops of seven pictures.

Its weights lie in ``pictures/`` in diffusers' own format; ``tools/train_pictures.py`` made them,
and ``pictures/report.json`` says from which data and how well it draws.
"""

import pathlib

from diffusers import DiTTransformer2DModel, FlowMatchEulerDiscreteScheduler

from clusca_ext.demo.guided import GuidedPipeline, load

FOLDER = pathlib.Path(__file__).parent / "pictures"
NAMES = ("astronaut", "cat", "coffee", "rocket", "retina", "china", "flower")


class PicturesPipeline(GuidedPipeline):
    """Draws crops of pictures: [B, 3, 64, 64], by Euler's method on a rectified flow.

    A class is the index of a picture in ``NAMES``.
    """

    num_classes = len(NAMES)
    classes = f"pictures 0 to {len(NAMES) - 1}"
    guidance = 2.0

    def __init__(
        self, transformer: DiTTransformer2DModel, scheduler: FlowMatchEulerDiscreteScheduler
    ) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, scheduler=scheduler)


def load_pictures(folder: str | pathlib.Path = FOLDER) -> PicturesPipeline:
    """The larger embedded model, or one of its kind from another folder.

    Raises:
        ValueError: The folder does not hold such a model, or its files are damaged.
    """
    return load(PicturesPipeline, FlowMatchEulerDiscreteScheduler, folder)
