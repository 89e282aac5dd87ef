"""The README's table of models: every tick has its test, and every test its tick.

Tests of the families are parametrised by lists of them: what stands in a test's source here says by
which. A test that is changed there fails here, and the table is looked at again.
"""

import re

import pytest

from clusca_ext import supported
from documents import ROOT
from families_image import IMAGES
from families_video import VIDEOS

TESTS = ROOT / "tests"
CLASSES = {
    "DiT": "DiTTransformer2DModel",
    "PixArt-alpha, Sigma": "PixArtTransformer2DModel",
    "SD3, SD3.5": "SD3Transformer2DModel",
    "FLUX.1": "FluxTransformer2DModel",
    "FLUX.2": "Flux2Transformer2DModel",
    "Qwen-Image, Edit": "QwenImageTransformer2DModel",
    "Z-Image": "ZImageTransformer2DModel",
    "HunyuanVideo": "HunyuanVideoTransformer3DModel",
    "HunyuanVideo 1.5": "HunyuanVideo15Transformer3DModel",
    "FramePack": "HunyuanVideoFramepackTransformer3DModel",
    "Wan 2.1, 2.2": "WanTransformer3DModel",
    "Wan VACE": "WanVACETransformer3DModel",
    "CogVideoX": "CogVideoXTransformer3DModel",
    "LTX-Video": "LTXVideoTransformer3DModel",
    "Mochi": "MochiTransformer3DModel",
}
BY_CLASS = {each.name.partition("-")[0]: each for each in (*IMAGES, *VIDEOS)}
LISTED = set(BY_CLASS)
DIT, FLUX, SD3, WAN = (CLASSES[name] for name in ("DiT", "FLUX.1", "SD3, SD3.5", "Wan 2.1, 2.2"))
BLOCKS_ONLY = {CLASSES["Z-Image"], CLASSES["HunyuanVideo 1.5"]}
ALL = r"params=IMAGES \+ VIDEOS"

# Of a column: the file, what must stand in it, and the models that this is about.
EVIDENCE = {
    "CFG": (
        ("test_pipeline.py", "def test_a_pipelines_guided_rows_are_paired", {DIT}),
        ("test_pipeline_options.py", "def paint.*guidance=4.5", {CLASSES["PixArt-alpha, Sigma"]}),
        ("test_guided_pairs.py", '"sd3": .*guidance_scale', {SD3}),
        ("test_guided_pairs.py", '"cogvideox": .*guidance_scale', {CLASSES["CogVideoX"]}),
        ("test_guided_pairs.py", '"mochi": .*guidance_scale', {CLASSES["Mochi"]}),
        ("test_guided_pairs.py", '"z-image": .*guidance_scale', {CLASSES["Z-Image"]}),
        ("test_flux_variants.py", 'calls = 2 if name == "true-guidance"', {FLUX}),
        ("test_branches.py", "def test_a_pipeline_that_calls_twice_a_step", {WAN}),
        ("test_video_variants.py", "def test_hunyuan_video_15", {CLASSES["HunyuanVideo 1.5"]}),
        ("test_video_variants.py", r"def test_wan_vace.*?branches=2", {CLASSES["Wan VACE"]}),
        (
            "test_video_variants.py",
            r"def test_qwen_image_edit.*?branches=2",
            {CLASSES["Qwen-Image, Edit"]},
        ),
    ),
    "batch": (
        ("test_families.py", r"params=IMAGES \+ VIDEOS", LISTED),
        ("test_laws.py", "def test_a_picture_does_not_depend_on_its_batch", {DIT}),
    ),
    "LoRA": (("test_lora.py", r"params=\[FLUX, wan\(False\)\]", {FLUX, WAN}),),
    "ControlNet": (
        ("test_control.py", r"\[FLUX, SD3\].*\ndef test_controlnet_residuals", {FLUX, SD3}),
    ),
    "offload": (
        ("test_offload.py", ALL, LISTED),
        ("test_model_offload.py", r"params=\[DIT, \*IMAGES, \*VIDEOS\]", {DIT, *LISTED}),
        ("test_group_offload.py", r"\(DIT, \"leaf\"\), .*\*IMAGES, \*VIDEOS", {DIT, *LISTED}),
    ),
    "compile": (
        ("test_compile_families.py", r"for family in IMAGES \+ VIDEOS", LISTED),
        ("test_compile_cache.py", "def test_fifty_steps_compile_no_more", {DIT}),
    ),
    "int8, 4-bit": (("test_settings.py", ALL, LISTED),),
}


def table():
    """Cells of the README's table by family and column."""
    text = (ROOT / "README.md").read_text().partition("## Supported models")[2]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    header, found = rows[0], {}
    for row in rows[2 : 2 + len(CLASSES)]:
        found[row[0]] = dict(zip(header[1:], row[1:], strict=True))
    return found


TABLE = table()


def test_every_supported_class_has_a_row():
    assert list(TABLE) == list(CLASSES) and set(CLASSES.values()) == set(supported())
    assert {*LISTED, DIT} == set(supported())


@pytest.mark.parametrize("column", EVIDENCE)
def test_ticks_are_those_of_tests(column):
    proven = set()
    for name, pattern, classes in EVIDENCE[column]:
        assert re.search(pattern, (TESTS / name).read_text(), re.DOTALL), f"{name}: {pattern}"
        proven |= classes
    ticks = {CLASSES[family] for family, cells in TABLE.items() if cells[column]}
    assert ticks == proven


def test_whole_models_compile_but_those_named():
    source = (TESTS / "test_compile_families.py").read_text()
    assert 'BREAK_BY_THEMSELVES = ("ZImage", "HunyuanVideo15")' in source
    blocks = {CLASSES[family] for family, cells in TABLE.items() if cells["compile"] == "blocks"}
    assert blocks == BLOCKS_ONLY


def test_batches_are_batches():
    assert all(each.noise[0] >= 2 for each in BY_CLASS.values())


def test_representatives_and_video_are_the_models_own():
    videos = {each.name.partition("-")[0] for each in VIDEOS}
    for family, cells in TABLE.items():
        name = CLASSES[family]
        assert bool(cells["video"]) == (name in videos), family
        if name == DIT:
            continue
        of_blocks = BY_CLASS[name]
        attentions = [m for m in of_blocks.modules if m.startswith("single_transformer_blocks")]
        expected = "MLPs of double-stream blocks" if attentions else "every MLP"
        assert cells["representatives in"] == expected, family
