"""What tools/wheels/check.py finds wrong with a wheel."""

import subprocess
import sysconfig
from pathlib import Path

import pytest

import check
from matrix import WheelName
from test_wheels import METADATA, make_wheel


def library(folder, name, code="", *options):
    """A library compiled from C."""
    path = folder / name
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", path, *options]
    subprocess.run(command, input=code, check=True, text=True)
    return path


USES_PYTHON = "void *PyList_New(long); void *f(void) { return PyList_New(0); }"
USES_TORCH = "int _ZN2at5emptyEv(void); int f(void) { return _ZN2at5emptyEv(); }"


@pytest.mark.parametrize(
    "name, code, options, problems",
    [
        ("libclusca_ops.so", "int aoti_torch_x(); int f() { return aoti_torch_x(); }", (), []),
        ("libclusca_ops.so", "", ("-Wl,-rpath,/x",), ["libclusca_ops.so has an RPATH"]),
        (
            "libclusca_ops.so",
            USES_PYTHON,
            (),
            ["libclusca_ops.so uses PyList_New", "libclusca_ops.so uses Python"],
        ),
        ("libclusca_ops.so", USES_TORCH, (), ["libclusca_ops.so uses _ZN2at5emptyEv"]),
        ("_C.so", USES_PYTHON, (), []),
        (
            "_C.so",
            f'const char *where = "{check.ROOT}/csrc";',
            (),
            ["_C.so names the folder it was built in"],
        ),
    ],
)
def test_libraries(tmp_path, name, code, options, problems):
    assert check.library_problems(library(tmp_path, name, code, *options)) == problems


def named(platform):
    return WheelName("0.1.0", "cpu", "3.11", platform)


def test_a_tag_must_be_earned(tmp_path):
    real = library(tmp_path, "lib.so", 'int puts(const char *); void f(void) { puts(""); }')
    assert check.tag_problems(named("linux_x86_64"), []) == [
        "its platform is linux_x86_64, not manylinux: it is not repaired"
    ]
    major, minor = check.glibc_of(real)
    assert check.tag_problems(named(f"manylinux_{major}_{minor}_x86_64"), [real]) == []
    (problem,) = check.tag_problems(named("manylinux_2_1_x86_64"), [real])
    assert problem == f"lib.so needs glibc {major}.{minor}, the tag says 2.1"


def test_the_embedded_models_do_not_count(tmp_path):
    wheel = make_wheel(tmp_path)
    assert check.size_without_models(wheel) == wheel.stat().st_size - len("weights") * 100


@pytest.mark.parametrize(
    "old, new, problem",
    [
        ("", "", None),
        ("0.1.0+cpu", "0.1.0", "its metadata is of 0.1.0"),
        ("torch>=2.10", "torch", "it must need torch>=2.10, got"),
        (">=3.10", ">=3.8", "it must need Python >=3.10, got >=3.8"),
    ],
)
def test_metadata(old, new, problem):
    text = METADATA.format("0.1.0+cpu").replace(old, new) if old else METADATA.format("0.1.0+cpu")
    found = check.metadata_problems(text, named("linux_x86_64"))
    assert len(found) == bool(problem)
    assert all(problem in each for each in found)


@pytest.mark.parametrize(
    "listed, problems",
    [
        ("f.1.sm_80.cubin f.2.sm_90a.cubin f.1.sm_80.ptx", []),
        ("f.1.sm_80.cubin f.1.sm_80.ptx", ["x.so has no code for sm_90a"]),
        (
            "f.1.sm_80.cubin f.2.sm_90a.cubin f.3.sm_86.cubin",
            ["x.so has code for sm_86, too", "x.so has no PTX of sm_80"],
        ),
    ],
)
def test_chips(listed, problems, tmp_path, monkeypatch):
    tool = tmp_path / "cuobjdump"
    tool.write_text(f"#!/bin/sh\necho '{listed}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert check.chip_problems(Path("x.so"), ("80", "90a")) == problems


def test_a_wheel_that_was_never_built(tmp_path):
    """Everything that can be said of it is said, not the first alone."""
    problems = check.problems_of(make_wheel(tmp_path, version="9.9.9"))
    own = f"_C{sysconfig.get_config_var('EXT_SUFFIX')}"
    assert own not in str(problems)
    assert {
        "its libraries are []",
        "its platform is linux_x86_64, not manylinux: it is not repaired",
    } <= {*problems}
    assert any(problem.startswith("it is of 9.9.9, version.txt says") for problem in problems)
