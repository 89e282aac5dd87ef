"""A function of a user's that draws with a tiny FLUX, as ``clusca calibrate`` takes it."""

import textwrap

from clusca_ext.lab import calibrate, candidates
from clusca_ext.lab.methods import METHODS

STEPS = 8
# As docs/laboratory.md has one, and some that say less of what they draw with, or more.
FUNCTION = """
    import torch
    import clusca_ext
    from flux_pipelines import draw as one, make_pipeline

    def make():
        pipeline = make_pipeline()

        def picture(seed):
            generator = torch.Generator().manual_seed(seed)
            return one(pipeline, steps=8, generator=generator)[0]

        def draw(config, seeds):
            if config is None:
                return torch.stack([picture(seed) for seed in seeds])
            with clusca_ext.cache(pipeline, config):
                return torch.stack([picture(seed) for seed in seeds])

        draw.pipeline = pipeline
        draw.steps = 8
        return draw

    def hidden():
        draw = make()
        del draw.pipeline
        return draw

    def endless():
        draw = make()
        del draw.steps
        return draw

    def wrong():
        draw = make()
        draw.pipeline = "flux"
        return draw
    """
SHORT = ["--psnr", "5", "--cost", "operations", "--seeds", "1", "--held-out", "2", "--rounds", "0"]
SHORT += ["--tries", "2"]
FEW = ("taylor-even", "placed-digits", "teacache-digits")


def written(folder, monkeypatch):
    """The name of a module of one test's own, in the folder that commands are called in."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(calibrate, "INTERVALS", (2, 3))
    monkeypatch.setattr(candidates, "METHODS", {name: METHODS[name] for name in FEW})
    name = f"flux_{folder.name}".replace("-", "_")
    (folder / f"{name}.py").write_text(textwrap.dedent(FUNCTION))
    return name
