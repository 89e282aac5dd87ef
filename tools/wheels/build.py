"""Build the wheels of one variant for several Pythons.

    python tools/wheels/build.py cu130 --output dist/raw [--python PATH ...] [--torch FOLDER]

The operator libraries are compiled once, into build/; each Python then adds its own _C. ``--torch``
is the package folder of any torch >= 2.10, for its headers: default, that of the Python which runs
this. ``--python``: default, every one that pythons.py finds. A CUDA variant needs that release of
nvcc, in PATH, CUDACXX or CUDA_HOME.
"""

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pythons
from matrix import PYTHONS, ROOT, VARIANTS


def require_nvcc(variant: str) -> None:
    """Exit with one sentence where nvcc is not that of the variant."""
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc") or shutil.which(f"{home}/bin/nvcc")
    wanted = f"{variant[2:-1]}.{variant[-1]}"
    if nvcc is None:
        sys.exit(f"{variant} needs nvcc {wanted}; none was found in PATH, CUDACXX or CUDA_HOME")
    answer = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    release = re.search(r"release (\d+\.\d+)", answer)
    if not release or release[1] != wanted:
        has = f"release {release[1]}" if release else "one that does not say its release"
        sys.exit(f"{variant} needs nvcc {wanted}, got {has} ({nvcc})")


def torch_folder() -> Path:
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("--torch must be given where the Python that runs this has no torch")
    return Path(spec.submodule_search_locations[0])


def fetch_tools(folder: Path) -> None:
    """What building needs, none of it compiled for a Python, so that all of them can use it."""
    packages = ["setuptools>=77", "pybind11>=2.13"]
    packages += [name for name in ("cmake", "ninja") if not shutil.which(name)]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.check_call([*pip, "install", "--target", folder, *packages])


def build(python: str, variant: str, torch: Path, output: Path, tools: Path) -> None:
    """Build one wheel by setuptools' own hook, without an environment and without torch."""
    environment = os.environ | {
        "CLUSCA_CUDA": "OFF" if variant == "cpu" else "ON",
        "CLUSCA_TORCH_DIR": str(torch),
        "PATH": f"{tools}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(tools),
    }
    hook = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    log = output / f"{variant}-{Path(python).parents[1].name}.log"
    with log.open("w") as file:
        done = subprocess.run(
            [python, "-c", hook, output], env=environment, cwd=ROOT, stdout=file, stderr=file
        )
    if done.returncode:
        sys.exit(f"{python} built no {variant} wheel; the end of {log}:\n{log.read_text()[-4000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--python", action="append")
    parser.add_argument("--torch", type=Path)
    args = parser.parse_args()
    if args.variant != "cpu":
        require_nvcc(args.variant)
    found = args.python or [path for version in PYTHONS if (path := pythons.find(version))]
    if not found:
        sys.exit(f"none of Python {', '.join(PYTHONS)} was found")
    torch = (args.torch or torch_folder()).resolve()
    output = args.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as tools:
        fetch_tools(Path(tools))
        for python in found:
            build(python, args.variant, torch, output, Path(tools))


if __name__ == "__main__":
    main()
