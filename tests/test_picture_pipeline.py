"""The larger embedded model: it draws crops of pictures, and says how well."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from clusca_ext import ClusCaConfig, cache, summary
from clusca_ext.demo.crop_network import CropNetwork
from clusca_ext.demo.picture_pipeline import FOLDER, NAMES, load_pictures
from pictures import crops, pictures


@pytest.fixture(scope="module")
def pipeline():
    pipeline = load_pictures()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_the_model_fits_the_package(pipeline):
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 16e6
    assert (FOLDER / "classifier.safetensors").stat().st_size <= 1e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".png"}
    config = pipeline.transformer.config
    assert (config.sample_size // config.patch_size) ** 2 >= 256
    assert pipeline.transformer.dtype == torch.float32


def test_the_report_says_what_was_measured():
    report = json.loads((FOLDER / "report.json").read_text())
    assert list(report["data"]) == list(report["recognised_per_class"]) == list(NAMES)
    assert report["training"] == json.loads((FOLDER / "training.json").read_text())


def test_a_sample_does_not_depend_on_its_batch(pipeline):
    both = pipeline([3, 5], seeds=[7, 8], num_inference_steps=4)
    alone = pipeline([5], seeds=[8], num_inference_steps=4)
    assert both.shape == (2, 3, 64, 64) and both.abs().max() <= 1
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-4)


def test_the_sampler_is_eulers_method(pipeline):
    """Written once more: from noise at sigma 1 to the image at 0 in equal parts of sigma."""
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([2])
    drawn = pipeline([2], num_inference_steps=3)
    sigmas = pipeline.scheduler.sigmas
    assert sigmas[0] == 1 and sigmas[-1] == 0
    with torch.no_grad():
        for now, then in zip(sigmas[:-1], sigmas[1:], strict=True):
            timestep = (1000 * now).expand(1)
            cond, null = (
                pipeline.transformer(images, timestep=timestep, class_labels=each).sample
                for each in (label, torch.tensor([len(NAMES)]))
            )
            images = images + (then - now) * (null + pipeline.guidance * (cond - null))
    torch.testing.assert_close(drawn, images.clamp(-1, 1), rtol=1e-4, atol=1e-4)


def test_one_line_makes_it_cached(pipeline):
    with cache(pipeline, ClusCaConfig()):
        seen = []
        pipeline([1, 2], num_inference_steps=10, on_step=lambda step, images: seen.append(step))
        done = summary(pipeline)
    assert seen == list(range(10))
    assert done.full + done.cached == 10 and done.cached >= 5


def test_the_network_tells_real_crops_apart():
    images, labels, _ = crops(pictures(), 100, torch.Generator().manual_seed(9))
    assert (CropNetwork()(images) == labels).float().mean() >= 0.98


@pytest.mark.parametrize("damage", ["missing", "truncated", "names", "sizes"])
def test_a_damaged_network(damage, tmp_path):
    path = tmp_path / "classifier.safetensors"
    tensors = load_file(FOLDER / path.name)
    if damage == "truncated":
        path.write_bytes((FOLDER / path.name).read_bytes()[:1000])
    elif damage == "names":
        save_file({f"net.{name}": tensor for name, tensor in tensors.items()}, path)
    elif damage == "sizes":
        save_file(tensors | {"bias_0": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match=f"^{path} must hold weight_0, .*: .+"):
        CropNetwork(tmp_path)


def test_a_model_of_other_classes_is_refused(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "model")
    config = tmp_path / "model/transformer/config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps(values | {"num_embeds_ada_norm": 1000}))
    with pytest.raises(ValueError, match="must hold"):
        load_pictures(tmp_path / "model")


def test_bad_calls(pipeline):
    with pytest.raises(ValueError, match=r"class_labels must be pictures 0 to 6, got \[7\]"):
        pipeline([7])
    with pytest.raises(ValueError, match="seeds must be 2 as class_labels, got 1"):
        pipeline([1, 2], seeds=[3])
