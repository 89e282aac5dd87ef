"""Rules of the tree: an operator's word finds all of it, kernels know no torch, files are short."""

import re
from pathlib import Path

import pytest

from clusca_ext import ops, reference
from clusca_ext.ops._dispatch import OPS

ROOT = Path(__file__).parents[1]
SCHEMA = (ROOT / "csrc/ops/schema.cpp").read_text()
OVERLOADS = re.findall(r'"([\w.]+)\(Tensor', SCHEMA)
NAMES = sorted({overload.partition(".")[0] for overload in OVERLOADS})
SOURCES = [
    path
    for folder in ("csrc", "python", "tests", "bench", "tools")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".h", ".cpp", ".cu", ".cuh", ".py"}
]


def test_schema_was_read():
    assert len(OVERLOADS) == SCHEMA.count("m.def(") > len(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "place",
    [
        "csrc/kernels/{}.h",
        "csrc/kernels/{}_cpu.h",
        "csrc/kernels/{}_cuda.cu",
        "csrc/ops/{}.cpp",
        "tests/test_{}.py",
        "bench/bench_{}.py",
    ],
)
def test_every_operator_has_its_files(place, name):
    path = ROOT / place.format(name.rstrip("_"))
    assert path.exists()
    assert name.rstrip("_") in path.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_has_a_wrapper_and_a_reference(name):
    assert name in ops.__all__
    assert callable(getattr(ops, name))
    assert callable(getattr(reference, name))


@pytest.mark.parametrize("overload", OVERLOADS)
def test_every_overload_has_a_fake_and_both_kernels(overload):
    folder = ROOT / "python/clusca_ext/ops"
    fakes = re.findall(r"@fake\((.*?)\)", "".join(path.read_text() for path in folder.glob("*.py")))
    assert f'"clusca::{overload}"' in ", ".join(fakes).split(", ")
    glue = ROOT / f"csrc/ops/{overload.partition('.')[0].rstrip('_')}.cpp"  # of CPU and of CUDA
    assert f'm.impl("{overload}"' in glue.read_text()


def test_every_overload_refuses_gradients():
    assert sorted(OPS) == sorted(OVERLOADS)


def test_every_operator_is_built():
    listed = re.search(r"set\(CLUSCA_OPS(.*?)\)", (ROOT / "CMakeLists.txt").read_text(), re.DOTALL)
    assert sorted(listed[1].split()) == sorted(name.rstrip("_") for name in NAMES)


def test_kernels_include_no_torch():
    kernels = [path for path in SOURCES if path.parent.name == "kernels"]
    assert kernels
    for path in kernels:
        includes = re.findall(r'#include\s*[<"](.*)[>"]', path.read_text())
        assert not [name for name in includes if re.match("torch|ATen|c10|ops/", name)], path


def test_files_are_short():
    long = {path.relative_to(ROOT): path.read_text().count("\n") for path in SOURCES}
    assert not {path: lines for path, lines in long.items() if lines > 250}
