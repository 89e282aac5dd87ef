"""The document: small arrays, pictures, and what a damaged file is told."""

import base64
import json

import numpy as np
import pytest
import torch
from PIL import Image

from clusca_ext.recording import Document, Drift, MapOfStep, Maps, Recording, Step
from clusca_ext.recording.packing import pack, unpack
from clusca_ext.recording.pictures import data_uri, pictures_of, squared_errors


def grey(value, size=(6, 4)):
    return Image.new("L", size, value)


def document():
    maps = Maps(
        (2, 2),
        0,
        1,
        (pack([0, 1, -1, 0]),),
        (MapOfStep(0, (0,), ()), MapOfStep(1, (0,), (pack([3]),))),
    )
    run = Recording(
        name="run",
        steps=(Step("full", 0.2), Step("cached", 0.1)),
        wall_seconds=0.4,
        maps=maps,
        features=Drift((0, 1), (1,), (0,), ((0.5, 0.25),)),
        pictures=(data_uri(grey(9)),),
        squared_error=(0.01,),
        memory={"model weights": 12},
        missing={"gates": "nobody planned them"},
    )
    return Document(kind="run", title="a run", runs=[run], notes=["a note"])


def test_small_arrays():
    values = [0, -1, 65_534, 3]
    assert unpack(pack(values)) == values and unpack(pack([])) == []
    for wrong in ([65_535], [-2]):
        with pytest.raises(ValueError, match="values must be integers from -1 to 65534"):
            pack(wrong)
    for wrong in ("?", "AAAA", "AA=="):
        with pytest.raises(ValueError, match="values must be base64 of uint16"):
            unpack(wrong)


def test_pictures():
    images = torch.linspace(-1, 1, 12).view(1, 1, 3, 4)
    (picture,) = pictures_of(images)
    expected = ((images[0, 0] + 1) * 127.5).round().to(torch.uint8)
    assert np.array_equal(np.asarray(picture), expected.numpy())
    assert pictures_of(images.expand(2, 3, 3, 4))[1].mode == "RGB"
    large = data_uri(Image.new("RGBA", (3000, 10)))
    assert large.startswith("data:image/png;base64,")
    with pytest.raises(ValueError, match=r"images must be \[B, 1 or 3, H, W\], got \[2, 3\]"):
        pictures_of(torch.zeros(2, 3))


def test_squared_errors():
    assert squared_errors([grey(51), grey(7)], [grey(0), grey(7)]) == (pytest.approx(0.04), 0.0)
    with pytest.raises(ValueError, match="reference must be 1 pictures, got 0"):
        squared_errors([grey(0)], [])
    with pytest.raises(ValueError, match=r"must be \(6, 4\) as the other, got \(1, 1\)"):
        squared_errors([grey(0)], [grey(0, (1, 1))])
    assert Recording(name="x", squared_error=(0.01, 0.0)).psnr_db == (
        pytest.approx(20.0),
        float("inf"),
    )


def test_it_is_read_as_it_was_written(tmp_path):
    document().save(tmp_path / "run.json")
    assert Document.load(tmp_path / "run.json") == document()


DAMAGE = {
    "not-json": ("{", "must be a JSON file"),
    "not-finite": ('{"version": NaN}', "must be a JSON file: numbers must be finite, got NaN"),
    "deep": ("[" * 100_000, "must be a JSON file"),
    "list": ("[]", r"must be an object, got \[\]"),
    "other": ('{"format": "pickle"}', "must have format 'clusca-run', got 'pickle'"),
    "version": ({"version": 2}, "must be of version 1, got 2: record it again"),
    "kind": ({"kind": "film"}, r"kind must be one of \['run', 'demo', 'bench'\], got 'film'"),
    "unknown-field": ({"sound": 1}, r"must have no fields but .*, got \['sound'\]"),
    "title": ({"title": 3}, "title must be text, got 3"),
    "runs": ({"runs": {}}, "runs must be a list of at most 64"),
    "too-many": ({"runs": [{}] * 65}, "runs must be a list of at most 64, got '65 of them'"),
    "rows": ({"rows": [1]}, r"rows\[0\] must be an object, got 1"),
}
OF_RUN = {
    "no-name": ({"name": None}, r"runs\[0\].name must be text, got None"),
    "step": ({"steps": [{"kind": "half", "seconds": 1, "by_sample": []}]}, "kind must be one of"),
    "seconds": (
        {"steps": [{"kind": "full", "seconds": -1, "by_sample": []}]},
        "seconds must be a finite number of at least 0, got -1",
    ),
    "remote": ({"pictures": ["https://example.org/x.png"]}, r"pictures\[0\] must be a PNG"),
    "svg": ({"pictures": ["data:image/svg+xml;base64,AAAA"]}, r"pictures\[0\] must be a PNG"),
    "not-a-png": (
        {"pictures": ["data:image/png;base64," + base64.b64encode(b"GIF89a").decode()]},
        r"pictures\[0\] must be a PNG",
    ),
    "memory": ({"memory": {"x": 1.5}}, "memory.x must be an integer of at least 0, got 1.5"),
    "labels": (
        {"maps": {"grid": [2, 2], "frame": 0, "frames": 1, "labels": [pack([0])], "steps": []}},
        r"labels\[0\] must hold 4 tokens, got 1",
    ),
    "outside": (
        {
            "maps": {
                "grid": [1, 1],
                "frame": 0,
                "frames": 1,
                "labels": [pack([0])],
                "steps": [{"step": 0, "labels": [0], "representatives": [pack([1])]}],
            }
        },
        "must name tokens below 1, got 1",
    ),
    "no-label-map": (
        {
            "maps": {
                "grid": [1, 1],
                "frame": 0,
                "frames": 1,
                "labels": [],
                "steps": [{"step": 0, "labels": [0], "representatives": []}],
            }
        },
        r"must name one of 0 label maps, got \[0\]",
    ),
    "drift": (
        {"features": {"blocks": [0], "steps": [1], "since": [0], "values": [[0.1, 0.2]]}},
        "values must be",
    ),
}


@pytest.mark.parametrize("damage, message", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_document(damage, message, tmp_path):
    path = tmp_path / "run.json"
    if isinstance(damage, dict):
        damage = json.dumps(document().to_dict() | damage)
    path.write_text(damage)
    with pytest.raises(ValueError, match=message) as caught:
        Document.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("damage, message", OF_RUN.values(), ids=OF_RUN)
def test_a_damaged_run(damage, message, tmp_path):
    values = document().to_dict()
    values["runs"][0] |= damage
    (tmp_path / "run.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=message):
        Document.load(tmp_path / "run.json")


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "run.json"
    document().save(path)
    broken = Document(kind="bench", title="x", rows=[{"seconds": float("nan")}])
    with pytest.raises(ValueError):
        broken.save(path)
    assert Document.load(path) == document() and list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match="kind must be one of"):
        Document(kind="film", title="x")
