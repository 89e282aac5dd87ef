"""Every Python block of the README and of docs/ runs, page by page, from top to bottom.

Where a block downloads a checkpoint, a tiny pipeline of the same class stands in for it; where it
names something of the reader's, as ``pipeline`` or ``run_sampler``, the page is given one.
"""

import pytest
import torch
from diffusers import DiTPipeline, FluxPipeline

import flux_pipelines
from clusca_ext import adapters
from documents import PAGES, ROOT, blocks, name_of
from family import fixed
from small_dit import make_dit
from test_pipeline import make_pipeline

RUN = [
    path
    for path in (ROOT / "README.md", *PAGES)
    if any(each.language == "python" and not each.reason for each in blocks(path.read_text()))
]


class TinyFlux(FluxPipeline):
    """Takes a prompt as it is; what it draws are latents."""

    def __call__(self, prompt, num_inference_steps):
        assert isinstance(prompt, str)
        return super().__call__(
            prompt_embeds=fixed(1, 12, 32),
            pooled_prompt_embeds=fixed(1, 32),
            num_inference_steps=num_inference_steps,
            height=flux_pipelines.SIZE,
            width=flux_pipelines.SIZE,
            output_type="latent",
        )


def make_flux_pipeline():
    return flux_pipelines.make_pipeline(TinyFlux)


def of_the_reader(path, folder):
    """What a page takes for granted."""
    if path.name != "learning.md":
        return {}
    from test_published_routers import DDIM20, DPM20, dit_file, uvit_vectors
    from tiny_router import sampler

    model = make_dit()
    dit_file(folder / "DDIM50_router.pt", DDIM20)
    torch.save(uvit_vectors(DPM20, 20), folder / "dpm50_router.pth")
    names = [f"{kind}-{block}" for block in range(3) for kind in ("attn", "mlp")]
    masks = {name: [1, 0, 1, 0] for name in names}
    (folder / "50-N-2-l2c.json").write_text(str(masks).replace("'", '"'))
    return {"pipeline": make_pipeline(), "model": model, "run_sampler": sampler(model, 4)}


@pytest.mark.parametrize("path", RUN, ids=name_of)
def test_a_pages_blocks_run(path, monkeypatch, tmp_path):
    monkeypatch.setattr(adapters, "_DESCRIBE", dict(adapters._DESCRIBE))
    for kind, make in ((DiTPipeline, make_pipeline), (FluxPipeline, make_flux_pipeline)):
        monkeypatch.setattr(kind, "from_pretrained", lambda *args, make=make, **more: make())
        monkeypatch.setattr(kind, "to", lambda self, *args: self)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page", **of_the_reader(path, tmp_path)}
    for block in blocks(path.read_text()):
        if block.language == "python" and not block.reason:
            code = "\n" * (block.line - 1) + block.runnable  # errors name the document's lines
            exec(compile(code, name_of(path), "exec"), names)


def test_blocks_were_found():
    found = [each for path in RUN for each in blocks(path.read_text())]
    assert len(RUN) >= 10 and sum(each.language == "python" for each in found) >= 30


def test_few_blocks_are_not_run():
    every = [(path, each) for path in RUN for each in blocks(path.read_text())]
    reasons = [(name_of(path), each.reason) for path, each in every if each.reason]
    assert len(reasons) <= 4, reasons
    assert all("no dependency" in reason for _, reason in reasons), reasons
