"""The embedded model and the demo: it draws digits, and bad files are refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

import judge_digits
from clusca_ext import ClusCaConfig, cache, summary
from clusca_ext.cli import app
from clusca_ext.demo.judge import Classifier, estimate, psnr
from clusca_ext.demo.pipeline import FOLDER, load_digits
from clusca_ext.demo.rows import rows_of
from clusca_ext.demo.run import Sampled, judge
from clusca_ext.recording import Document


@pytest.fixture(scope="module")
def pipeline():
    pipeline = load_digits()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_the_model_fits_the_package(pipeline):
    weights = FOLDER / "transformer/diffusion_pytorch_model.safetensors"
    assert weights.stat().st_size <= 12e6
    assert len(pipeline.transformer.transformer_blocks) >= 8
    assert pipeline.transformer.config.sample_size == 32
    assert not list(FOLDER.rglob("*.bin")) and not list(FOLDER.rglob("*.pt"))


def test_the_report_says_what_was_measured():
    report = json.loads((FOLDER / "report.json").read_text())
    assert report["recognised_as_asked"] >= 0.95
    assert report["samples"] >= 300
    assert "CC BY 4.0" in report["data"]


def test_it_draws_the_digits_asked_for(pipeline):
    labels = list(range(10))
    images = pipeline(labels, num_inference_steps=20)
    assert images.shape == (10, 1, 32, 32)
    assert (Classifier()(images) == torch.tensor(labels)).float().mean() >= 0.8


def test_a_sample_does_not_depend_on_its_batch(pipeline):
    both = pipeline([3, 5], seeds=[7, 8], num_inference_steps=4)
    alone = pipeline([5], seeds=[8], num_inference_steps=4)
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-4)


def test_one_line_makes_it_cached(pipeline):
    with cache(pipeline, ClusCaConfig()):
        pipeline([1, 2], num_inference_steps=10)
        done = summary(pipeline)
    assert done.full + done.cached == 10 and done.cached >= 5


def test_the_classifier_is_scikit_learns():
    """The stored tensors say what scikit-learn's model trained the same way says."""
    images, labels = judge_digits.digits()
    with threadpool_limits(1):  # idle threads of BLAS spin, on cores that other tests want
        trained = judge_digits.classifier(images, labels)[0]
    expected = torch.from_numpy(trained.predict(judge_digits.pixels(images)))
    assert (Classifier()(images) == expected).float().mean() >= 0.999
    assert (expected == labels).float().mean() >= 0.97


def test_psnr_and_its_error():
    reference = torch.zeros(2, 1, 4, 4)
    values = psnr(torch.stack([reference[0] + 0.2, reference[0] + 0.02]), reference)
    assert values.tolist() == pytest.approx([20.0, 40.0], abs=1e-3)
    both = estimate(values)
    assert (both.mean, both.error) == pytest.approx((30.0, 10.0), abs=1e-3)


@pytest.mark.parametrize("interval", [4, 6])
def test_every_row_of_an_interval_takes_the_same_full_steps(interval):
    counts = set()
    for row in rows_of(interval, 50):
        if row.config is None:
            counts.add(row.steps)
        else:
            decide = row.config.schedule.start(row.steps)
            counts.add(sum(decide(type("Step", (), {"index": i})) for i in range(row.steps)))
    assert len(counts) == 1


def test_judging_pairs_samples_with_bounded_taylor():
    rows = rows_of(4, 50)
    images = {row.name: torch.full((3, 1, 32, 32), 0.01 * i) for i, row in enumerate(rows, 1)}
    full = Sampled(rows[0], [0, 1, 2], torch.zeros(3, 1, 32, 32), 2.0, None)
    everything = [full, *[Sampled(row, [0, 1, 2], images[row.name], 1.0, None) for row in rows]]
    results = judge(everything, [0, 1, 2])
    assert results[0].psnr is None and results[1].speedup == 2.0
    by_name = {result.sampled.row.name: result for result in results[1:]}
    assert by_name["Taylor, bounded"].over_bounded.mean == 0.0
    assert by_name["reuse"].over_bounded.mean > 0 > by_name["ClusCa, default"].over_bounded.mean


def test_the_command_prints_a_table_draws_a_picture_and_records(tmp_path):
    output, record = tmp_path / "picture.png", tmp_path / "run.json"
    arguments = ["demo", "--samples", "2", "--steps", "6", "--record", str(record)]
    result = CliRunner().invoke(app, [*arguments, "--output", str(output)])
    assert result.exit_code == 0, result.output
    for word in ("full sampler", "fewer steps", "ClusCa, default", "±", "fewer operations"):
        assert word in result.output
    picture = np.asarray(Image.open(output))
    assert picture.shape[0] > 400 and picture.std() > 20
    document = Document.load(record)
    full, *others = document.runs
    assert full.name == "full sampler" and len(full.steps) == 6 and len(others) == 14
    assert all(len(run.pictures) == len(run.psnr_db) == 2 for run in others)
    default = document.runs[-1]
    assert default.name == "ClusCa, default, interval 6" and default.maps.grid == (16, 16)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--device", "cuda:77"], "cannot be used"),
        (["--samples", "1"], "Invalid value for '--samples'"),
        (["--steps", "0"], "Invalid value for '--steps'"),
        (["--output", "/nonexistent/folder/x.png"], "no folder"),
    ],
)
def test_the_command_refuses_bad_arguments_at_once(arguments, message):
    result = CliRunner().invoke(app, ["demo", *arguments])
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize("damage", ["missing", "config", "truncated", "pickle", "classes"])
def test_a_corrupt_or_wrong_checkpoint(damage, tmp_path):
    folder = tmp_path / "digits"
    shutil.copytree(FOLDER, folder)
    weights = folder / "transformer/diffusion_pytorch_model.safetensors"
    config = folder / "transformer/config.json"
    if damage == "missing":
        shutil.rmtree(folder / "transformer")
    elif damage == "config":
        config.write_text("{")
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "pickle":
        torch.save({}, folder / "transformer/diffusion_pytorch_model.bin")
        weights.unlink()
    else:
        values = json.loads(config.read_text())
        config.write_text(json.dumps(values | {"num_embeds_ada_norm": 1000}))
    with pytest.raises(ValueError, match=str(folder)):
        load_digits(folder)


@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "names", "sizes", "digits"])
def test_a_damaged_classifier(damage, tmp_path):
    path = tmp_path / "classifier.safetensors"
    tensors = load_file(FOLDER / path.name)
    if damage == "truncated":
        path.write_bytes((FOLDER / path.name).read_bytes()[:1000])
    elif damage != "missing":
        if damage == "names":
            tensors = {f"net.{name}": tensor for name, tensor in tensors.items()}
        elif damage == "sizes":
            tensors["weight_0"] = tensors["weight_0"][:50].contiguous()
        elif damage == "digits":
            tensors |= {"weight_1": torch.zeros(128, 3), "bias_1": torch.zeros(3)}
        save_file({} if damage == "empty" else tensors, path)
    with pytest.raises(ValueError, match=f"^{path} must hold a classifier's weight_0, .*: .+"):
        Classifier(tmp_path)


def test_bad_calls(pipeline):
    with pytest.raises(ValueError, match=r"class_labels must be digits 0 to 9, got \[10\]"):
        pipeline([10])
    with pytest.raises(ValueError, match="seeds must be 2 as class_labels, got 1"):
        pipeline([1, 2], seeds=[3])
