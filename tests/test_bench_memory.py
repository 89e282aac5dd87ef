"""bench/memory.py: the README's table and docs/memory.png are what is estimated."""

import json

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import memory
from clusca_ext import ClusCaConfig, LeanStorage, NoCorrection, estimate_memory
from clusca_ext.measuring.models import MODELS, make, video_size
from loop_rows import OURS
from memory import FRAMES, GB, MODEL, STORAGES, estimates
from report_cases import MISSING


def rows():
    paths = sorted(memory.FOLDER.glob("*-end-to-end.json"))
    return [row for path in paths for row in memory.read(path)]


def test_the_readme_has_the_table():
    text = memory.README.read_text()
    assert text.count(memory.BEGIN) == text.count(memory.END) == 1
    assert memory.put(text, memory.table(rows())) == text, "run: python bench/memory.py --write"


def test_the_picture_is_made_of_the_estimates(tmp_path):
    with Image.open(memory.PICTURE) as picture:
        kept, size = json.loads(picture.text[memory.KEY]), picture.size
    assert kept == estimates(), "run: python bench/memory.py --write"
    memory.draw(tmp_path / "memory.png")
    with Image.open(tmp_path / "memory.png") as made:
        assert json.loads(made.text[memory.KEY]) == kept
        # Fonts may make them differ by a little.
        assert all(abs(a - b) < 20 for a, b in zip(made.size, size, strict=True))


def test_every_storage_is_of_the_default_otherwise():
    chosen = {name: ClusCaConfig(**OURS[row]).storage for name, row in STORAGES.items()}
    assert chosen == {
        "per block": "per_block",
        "lean, exact": LeanStorage(basis="exact"),
        "lean, window": LeanStorage(),
        "lean, window on the host": LeanStorage(offload=True),
        "lean, gated": LeanStorage(basis="gated"),
    }


def test_the_longest_video_is_that_of_the_loop():
    frames, (_, _, *size) = memory.SHOWN, MODELS[MODEL].latents
    assert (1, 16, *video_size(frames, 720, 1280)) == MODELS[MODEL].latents
    assert size == [33, 90, 160]
    model = make(MODELS[MODEL], "meta", torch.bfloat16)
    config = ClusCaConfig(storage="lean", corrector=NoCorrection())  # as the row measured beside
    lean = estimate_memory(model, MODELS[MODEL].latents, config)
    found = estimates()["storages"]["lean, window"][FRAMES.index(frames)]
    assert found == round(lean.total / GB, 3)


def test_lean_storage_fits_where_per_block_does_not():
    """What the README says of 129 frames, and the goals of design section 8."""
    found, at = estimates(), FRAMES.index(129)
    rest = memory.GPUS[1] - found["weights"]
    assert found["storages"]["per block"][at] > rest
    assert all(v[at] < 0.1 * rest for n, v in found["storages"].items() if n != "per block")
    model = make(MODELS[MODEL], "meta", torch.bfloat16)
    lean = estimate_memory(model, MODELS[MODEL].latents, ClusCaConfig(storage="lean"))
    assert lean.parts["sums"] <= 3.2 * GB


def test_what_was_measured_stands_beside_it():
    shape = "hunyuan-720p129 B1 N118800, 50 steps, interval 5"
    measured = {"cached_ms": 17.5, "full_overhead": 0.0123, "speedup": 4.1, "peak_gib": 50.0}
    given = [
        {"shape": shape, "impl": "clusca, lean, forecast only", "seconds": 300.0, **measured},
        {"shape": shape.replace("interval 5", "interval 6"), "impl": "clusca", "seconds": 1.0},
        {"shape": shape, "impl": "clusca", "note": "does not fit: CUDA out of memory"},
    ]
    lines = {line.split(" | ")[0]: line for line in memory.table(given).splitlines()}
    assert lines["| lean, window"].endswith("| 53.7 | 17.5 ms | +1.2% | 4.1x |")
    assert lines["| per block"].endswith("| does not fit: CUDA out of memory |  |  |  |")
    assert lines["| lean, gated"].endswith(f"| {MISSING} |  |  |  |")


@pytest.mark.parametrize("made", ["a", "| a | \\1 |\n| b |"])
def test_a_table_is_put_between_its_marks(made):
    text = f"x\n{memory.BEGIN}\nold\n\nrow\n{memory.END}\ny\n"
    assert memory.put(text, made) == f"x\n{memory.BEGIN}\n{made}\n{memory.END}\ny\n"


def test_no_label_covers_another():
    picture = memory.figure(estimates(), estimates((1, 129, 257)))
    canvas = FigureCanvasAgg(picture)
    canvas.draw()
    (axes,) = picture.axes
    boxes = [each.get_window_extent(canvas.get_renderer()) for each in axes.texts]
    assert len(boxes) == len(STORAGES) + len(memory.GPUS)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    whole = picture.get_window_extent()
    assert all(whole.x0 <= box.x0 and box.x1 <= whole.x1 for box in boxes)
