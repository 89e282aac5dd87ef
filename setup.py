"""Runs CMake for the libraries and names the build; everything else is in pyproject.toml.

Environment:
    CLUSCA_CUDA                ON, OFF or AUTO (default: ON where there is an nvcc)
    CLUSCA_CUDA_ARCHITECTURES  such as "80;90a" (default: all that this nvcc knows of ours)
    CLUSCA_TORCH_DIR           the torch package to build against, where it cannot be found
    CLUSCA_WERROR              ON: warnings are errors
    CLUSCA_LINEINFO            ON: CUDA code names its source lines, for profilers
"""

import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = pathlib.Path(__file__).parent.resolve()


def find_torch() -> pathlib.Path:
    """The installed torch package, without importing it: building needs its headers, not Python's.

    pip's isolated build runs the same interpreter with another sys.path, so the outer site-packages
    are still where sysconfig says. Other front ends need CLUSCA_TORCH_DIR or no isolation.
    """
    candidates = [os.environ.get("CLUSCA_TORCH_DIR")]
    if spec := importlib.util.find_spec("torch"):
        candidates += spec.submodule_search_locations or []
    candidates += [f"{sysconfig.get_path(key)}/torch" for key in ("purelib", "platlib")]
    for folder in candidates:
        if folder and pathlib.Path(folder, "include/torch/csrc/stable/library.h").exists():
            # Resolved: a build through a link to the same headers finds everything up to date.
            return pathlib.Path(folder).resolve()
    sys.exit(
        "clusca_ext needs torch >= 2.10 to build and found none: install torch first, or set "
        "CLUSCA_TORCH_DIR to its package folder (isolated builds other than pip's need that)."
    )


def find_nvcc() -> str | None:
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    return os.environ.get("CUDACXX") or shutil.which("nvcc") or shutil.which(f"{home}/bin/nvcc")


def local_version(cuda: str, nvcc: str | None) -> str:
    """What is built, as the version says it: cpu, cu130 and so on."""
    if cuda not in ("ON", "OFF", "AUTO"):
        sys.exit(f"CLUSCA_CUDA must be ON, OFF or AUTO, got {cuda!r}")
    if cuda == "OFF" or (cuda == "AUTO" and nvcc is None):
        return "cpu"
    if nvcc is None:
        sys.exit("CLUSCA_CUDA=ON needs nvcc; none was found in PATH, CUDACXX or CUDA_HOME")
    try:
        answer = subprocess.check_output([nvcc, "--version"], text=True)
        return "cu" + "".join(re.search(r"release (\d+)\.(\d+)", answer).groups())
    except (OSError, subprocess.CalledProcessError, AttributeError) as error:
        # Falling back to a CPU build would hide it: only CLUSCA_CUDA=OFF asks for one.
        sys.exit(f"{nvcc} does not work ({error}): mend it, or build with CLUSCA_CUDA=OFF")


CUDA = os.environ.get("CLUSCA_CUDA", "AUTO").upper()
NVCC = find_nvcc()
LOCAL_VERSION = local_version(CUDA, NVCC)
ARCHITECTURES = os.environ.get("CLUSCA_CUDA_ARCHITECTURES", "")


class CMakeBuild(build_ext):
    def build_extension(self, ext: Extension) -> None:
        """Three folders of CMake's, so that builds share what they have in common.

        The operator libraries know no Python, and that for CPUs no CUDA: wheels for other Pythons
        take them as they are. CMake caches what it found, so a configuration has its own folder.
        """
        target = pathlib.Path(self.build_lib).resolve() / "clusca_ext"
        for library in target.glob("*.so"):  # this folder serves all configurations in turn
            library.unlink()
        self.cmake("operators", "operators", target)
        cuda = re.sub(r"\W+", "-", f"{LOCAL_VERSION} {ARCHITECTURES}").strip("-")
        if LOCAL_VERSION != "cpu":
            options = {
                "CLUSCA_CUDA": "ON",
                "CLUSCA_NVCC": NVCC,
                "CLUSCA_CUDA_ARCHITECTURES": ARCHITECTURES,
                "CLUSCA_LINEINFO": os.environ.get("CLUSCA_LINEINFO", "OFF"),
            }
            self.cmake("cuda", cuda, target, options)
        options = {"CLUSCA_PYTHON": sys.executable, "CLUSCA_BUILT_CUDA": ROOT / "build" / cuda}
        if pybind11 := importlib.util.find_spec("pybind11"):
            options["pybind11_DIR"] = pathlib.Path(pybind11.origin).parent / "share/cmake/pybind11"
        self.cmake("python", f"{sys.implementation.cache_tag}-{cuda}", target, options)

    def cmake(self, part: str, folder: str, target: pathlib.Path, more: dict | None = None) -> None:
        build = ROOT / "build" / folder
        options = {
            "CMAKE_BUILD_TYPE": "Release",
            "CMAKE_MAKE_PROGRAM": shutil.which("ninja"),  # an isolated build's changes every time
            "CLUSCA_PARTS": part,
            "CLUSCA_TORCH_DIR": find_torch(),
            "CLUSCA_WERROR": os.environ.get("CLUSCA_WERROR", "OFF"),
            **(more or {}),
        }
        defines = [f"-D{name}={value}" for name, value in options.items() if value is not None]
        subprocess.check_call(["cmake", "-S", ROOT, "-B", build, "-G", "Ninja", *defines])
        subprocess.check_call(["cmake", "--build", build])
        subprocess.check_call(["cmake", "--install", build, "--prefix", target])

    def copy_extensions_to_source(self) -> None:
        """Editable installs: setuptools would copy _C alone."""
        package = ROOT / "python/clusca_ext"
        for library in package.glob("libclusca_*.so"):  # perhaps of another configuration
            library.unlink()
        for library in pathlib.Path(self.build_lib, "clusca_ext").glob("*.so"):
            shutil.copy2(library, package)


version = os.environ.get("CLUSCA_VERSION") or (ROOT / "version.txt").read_text().strip()
setup(
    version=f"{version}+{LOCAL_VERSION}",
    ext_modules=[Extension("clusca_ext._C", sources=[])],
    cmdclass={"build_ext": CMakeBuild},
)
