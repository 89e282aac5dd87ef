"""``clusca estimate``: what is told before a run is what the run takes."""

import json

import pytest
import torch

from clusca_ext import ClusCaConfig, NoCorrection, PyramidSchedule, estimate_memory, method
from clusca_ext.cache import Cache
from clusca_ext.demo.flops import counter
from clusca_ext.measuring import checkpoints
from clusca_ext.measuring.checkpoints import describe_checkpoint
from clusca_ext.measuring.estimates import full_steps, work
from clusca_ext.measuring.models import MODELS, make
from clusca_ext.measuring.sizes import FAMILIES, SIZES
from command_line import clusca
from saved_pipelines import save_pixart, save_wan
from small_dit import make_dit, options, sample

BYTES = torch.bfloat16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pipelines")
    save_pixart(root / "pixart")
    save_wan(root / "wan")
    return root


def said_of(*arguments):
    said = clusca("estimate", *arguments, "--json")
    assert said.code == 0, said.words
    return json.loads(said.words)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_as_large_as_its_checkpoint(name):
    """Parameters in billions, as published, the transformer alone."""
    published = {
        "flux": 11.9, "hunyuan_video": 12.8, "wan-14b": 14.3, "wan-1.3b": 1.42, "dit-xl-2": 0.75,
        "pixart": 0.61, "sd3": 2.03, "qwen-image": 20.4, "cogvideox-5b": 5.57, "ltx": 1.92,
        "mochi": 10.0,
    }  # fmt: skip
    described = describe_checkpoint(name, None, None, BYTES)
    parameters = sum(each.numel() for each in described.model.parameters()) / 1e9
    assert parameters == pytest.approx(published[name], rel=0.01)
    assert described.at_size.cls in SIZES and all(p.is_meta for p in described.model.parameters())


def test_sizes_are_those_of_the_benches():
    for name, bench in (
        ("flux", "flux-1024"),
        ("hunyuan_video", "hunyuan-720p129"),
        ("wan-14b", "wan-14b-720p81"),
    ):
        described = describe_checkpoint(name, None, None, BYTES)
        assert described.at_size.latents == MODELS[bench].latents
        assert described.at_size.tokens == MODELS[bench].tokens


def test_the_table_and_the_json_say_the_same(folder):
    asked = folder / "pixart", "--size", "192x128", "--steps", "40"
    found = said_of(*asked)
    assert (found["tokens"], found["size"], found["branches"]) == (12 * 8, [192, 128], 1)
    window = next(each for each in found["storages"] if each["storage"] == "window")
    model = describe_checkpoint(str(folder / "pixart"), (192, 128), None, BYTES).model
    lean = ClusCaConfig(storage="lean")
    expected = estimate_memory(model, (2, 4, 16, 24), lean, num_steps=40)
    assert window["cache"] == expected.total and window["parts"] == expected.parts
    words = clusca("estimate", *asked).words
    assert f"{window['cache'] / 1e9:.3g}" in words
    assert f"{found['operations']['speedup']:.2f}x fewer" in words


def test_a_storage_that_cannot_be_says_why():
    said = clusca("estimate", "digits", "--storage", "shared-emb")
    assert said.code == 0 and "shared-emb cannot be" in said.words
    assert "needs gates that are a vector of the block's own" in said.words


def test_guidance_in_calls_of_its_own_takes_as_much_again(folder):
    found = said_of(folder / "wan", "--size", "64x64", "--frames", "9", "--dtype", "float32")
    assert (found["branches"], found["tokens"], found["models"]) == (2, 3 * 4 * 4, 1)
    per_block = next(each for each in found["storages"] if each["storage"] == "per_block")
    described = describe_checkpoint(str(folder / "wan"), (64, 64), 9, torch.float32)
    one = estimate_memory(described.model, described.at_size.latents, ClusCaConfig())
    assert per_block["cache"] == 2 * one.total
    assert found["weights"] == sum(p.nbytes for p in described.model.parameters())


@pytest.mark.parametrize("name", ["pixart", "wan"])
def test_operations_are_those_that_are_counted(folder, name):
    """A whole step of the real model, on the CPU."""
    described = describe_checkpoint(str(folder / name), (64, 64), None, torch.float32)
    found = work(described, ClusCaConfig(corrector=NoCorrection()), 50)
    at_size = described.at_size
    real = make(at_size, "cpu", torch.float32)
    timestep = torch.zeros(at_size.latents[0])
    with torch.inference_mode(), counter() as counted:
        latents = torch.randn(at_size.latents)
        real(latents, timestep=timestep, return_dict=False, **at_size.inputs(torch.randn))
    assert found.full == counted.get_total_flops()
    assert found.full_steps == 12 and 1 < found.speedup < 50 / 12


def test_embedded_models_are_counted_in_pixels():
    found = said_of("digits")
    assert (found["size"], found["tokens"], found["branches"]) == ([32, 32], 256, 1)
    assert found["operations"]["full_steps"] == 12


def test_full_steps_that_are_known_beforehand():
    modules = frozenset({(0, "attn"), (0, "mlp")})
    assert full_steps(ClusCaConfig(), 50, modules) == 12
    assert full_steps(method("fora"), 50, modules) == 17
    assert full_steps(method("teacache"), 50, modules) is None
    assert full_steps(method("pab"), 50, modules) is None
    whole = PyramidSchedule(ranges=(("attn", 2), ("mlp", 2)), between_timesteps=(100, 800))
    assert full_steps(ClusCaConfig(schedule=whole), 50, modules) is None
    words = clusca("estimate", "digits", "--method", "teacache", "--storage", "lean").words
    assert "Operations: not counted: which steps are full is decided as a run goes" in words


def test_a_model_that_does_not_run_without_memory_says_so():
    words = clusca("estimate", "mochi", "--storage", "lean").words
    assert "Operations: not counted: MochiTransformer3DModel does not run without memory" in words


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nothing"], "model must be one of ['flux', 'hunyuan_video'"),
        (["flux", "--frames", "3"], "frames are not taken by FluxTransformer2DModel"),
        (["flux", "--size", "100x100"], "size must be multiples of 16 pixels, got a width of 100"),
        (["flux", "--size", "100"], "--size must be WIDTHxHEIGHT in pixels"),
        (["digits", "--size", "64x64"], "size must be"),
        (["flux", "--dtype", "int4"], "--dtype must be one of ['float32'"),
        (["flux", "--storage", "disk"], "--storage must be one of ['per_block'"),
        (["flux", "--config", "no.json"], "must be a file of a configuration"),
        (["."], ". must hold transformer/config.json or config.json"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = clusca("estimate", *arguments)
    assert said.code == 2 and message in said.words, said.words


def test_folders_of_other_models(tmp_path):
    path = tmp_path / "config.json"
    for content, message in (
        ("{", "must be a JSON file"),
        ("[]", "must hold a JSON object, got list"),
        ("{}", "must name a class of diffusers, got None"),
        ('{"_class_name": "UNet2DConditionModel"}', "model must be of one of ['Flux"),
    ):
        path.write_text(content)
        said = clusca("estimate", tmp_path)
        assert said.code == 2 and message in said.words, said.words


def test_the_hub_cannot_be_reached(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = clusca("estimate", "someone/some-model")
    assert said.code == 1 and "the Hugging Face Hub cannot be reached" in said.words
    assert checkpoints.HUB_NAME.fullmatch("someone/some-model")


# ---- what schedules and scores look at


@pytest.mark.parametrize("name", ["teacache", "adacache", "toca"])
def test_what_a_schedule_or_a_score_compares_with_is_estimated(name):
    from allocation import allocated
    from clusca_ext import enable_cache

    model, config = make_dit(attention_head_dim=160, sample_size=32), method(name)
    known = options(6)
    if name == "toca":
        known.pop("cfg_rows")  # rows that share their choices keep one tensor for both
    estimate = estimate_memory(model, (4, 1, 32, 32), config, num_steps=6)
    held = enable_cache(model, config, **known)
    live, _ = allocated(lambda: sample(held, 6, size=32))
    planned = sum(branch.plan.bytes() for branch in Cache.of(model).branches.values())
    assert live - planned == pytest.approx(estimate.total, rel=0.02)


def test_a_wrong_shape_names_the_argument():
    with pytest.raises(ValueError, match=r"shape must be that of DiT.*, got \[4, 1, 32\]"):
        estimate_memory(make_dit(), (4, 1, 32))
    with pytest.raises(ValueError, match="every size of shape must be an integer of at least 1"):
        estimate_memory(make_dit(), (4, 1, 32, 0))
