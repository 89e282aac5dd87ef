"""What setup.py installs: the libraries of one configuration, and none that were there before."""

import subprocess
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parents[1]


@pytest.fixture
def build(tmp_path, monkeypatch):
    """A CPU build in a checkout of its own, where CMake installs an empty library."""

    def cmake(command):
        if "--install" in command:
            Path(command[-1]).mkdir(parents=True, exist_ok=True)
            Path(command[-1], "libclusca_ops.so").touch()

    monkeypatch.setattr(setuptools, "setup", lambda **options: None)
    monkeypatch.setattr(subprocess, "check_call", cmake)
    monkeypatch.setenv("CLUSCA_CUDA", "OFF")
    monkeypatch.setenv("CLUSCA_VERSION", "0")
    names = {"__file__": str(tmp_path / "setup.py")}
    exec((ROOT / "setup.py").read_text(), names)
    command = names["CMakeBuild"](setuptools.Distribution())
    command.build_lib = str(tmp_path / "lib")
    return command


EXTENSION = setuptools.Extension("clusca_ext._C", sources=[])


def touch(folder, *names):
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_wheel_holds_no_library_of_another_configuration(build, tmp_path):
    touch(tmp_path / "lib/clusca_ext", "libclusca_cuda.so", "cache.py")
    build.build_extension(EXTENSION)
    assert names_in(tmp_path / "lib/clusca_ext") == ["cache.py", "libclusca_ops.so"]


def test_an_editable_install_leaves_no_library_of_another_configuration(build, tmp_path):
    package = tmp_path / "python/clusca_ext"
    touch(package, "libclusca_cuda.so", "libclusca_ops.so", "_C.of-another-python.so", "cache.py")
    build.build_extension(EXTENSION)
    build.copy_extensions_to_source()
    assert names_in(package) == ["_C.of-another-python.so", "cache.py", "libclusca_ops.so"]
