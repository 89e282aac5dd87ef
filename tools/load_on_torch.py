"""Use wheels on real CUDA builds of torch, on a machine without CUDA.

    python tools/load_on_torch.py dist/clusca_ext-*.whl --torch 2.10.0 --torch 2.11.0

For each torch: a fresh environment of the wheel's Python, that torch without its CUDA packages,
fakes in their place (fake_cuda.py), the wheel and what it depends on. The embedded model must draw
a digit with a cache. Where torch's CUDA is of the wheel's major, every operator must get its CUDA
kernel; elsewhere there must be one sentence that says why not, and working CPU operators. Wheels of
other Pythons than the one that runs this are tried on the last of the torches.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "wheels"))

import pythons
from fake_cuda import make_fakes
from matrix import WheelName

SMOKE = Path(__file__).parent / "wheels"
# What `import torch` and the wheel need besides torch.
PYTHON_PACKAGES = [
    "numpy",
    "typing_extensions",
    "sympy",
    "networkx",
    "jinja2",
    "fsspec",
    "filelock",
    "diffusers>=0.40",
    "safetensors",
    "typer",
    "rich",
    "pillow",
    "setuptools<82",  # torch asks for it from Python 3.12 on
]

PROBE = """
import os, sys
sys.setdlopenflags(os.RTLD_LAZY)  # torch's own libraries use more of CUDA than the fakes have
import torch
sys.path.append(sys.argv[2])
import smoke
import clusca_ext
from clusca_ext import _library, ops
from clusca_ext.ops._dispatch import OPS

args = (torch.randn(2, 9, 8), torch.randn(2, 3, 8))
ids = torch.randint(3, (2, 9), dtype=torch.int32)
chosen = ops.select_representatives(ids, 3, torch.tensor([0, 1]))
torch.library.opcheck(torch.ops.clusca.cluster_propagate.default, (*args, chosen, ids, 0.3))
torch.library.opcheck(torch.ops.clusca.kmeans_fit.default, args)
lists = [torch.randn(2, 2, 9, 8) for _ in range(3)], [None, torch.randn(2, 8), None]
torch.library.opcheck(torch.ops.clusca.collapsed_residual.default, (args[0], *lists, 1.5))
smoke.check_origin(sys.argv[3])
smoke.check_operators()
smoke.check_model()
major, built = torch.version.cuda.split(".")[0], sys.argv[1]
if major == built:
    assert not _library.cuda_missing, _library.cuda_missing
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    assert all(has(f"clusca::{name}", "CUDA") for name in OPS)
    print(f"all {len(OPS)} CUDA kernels registered on torch {torch.__version__}")
else:
    assert f"install the wheel of clusca_ext for CUDA {major}" in _library.cuda_missing
    print(_library.cuda_missing)
    print(f"torch is of CUDA {major}, the wheel of CUDA {built}: said so, CPU operators work")
"""


def try_torch(version: str, wheel: Path, work: Path) -> None:
    name = WheelName.of(wheel)
    python = pythons.find(name.python)
    if python is None:
        sys.exit(f"{wheel.name} needs Python {name.python}, which was not found")
    venv = work / f"torch-{version}-{name.python}"
    subprocess.check_call([python, "-m", "venv", venv])
    pip = [venv / "bin/pip", "install", "--quiet"]
    subprocess.check_call([*pip, *PYTHON_PACKAGES])
    subprocess.check_call([*pip, "--no-deps", f"torch=={version}"])
    subprocess.check_call([*pip, "--no-deps", wheel])
    site = next(venv.glob("lib/python*/site-packages"))
    folders = [site / "torch/lib", site / "torch", site / "clusca_ext"]
    libraries = [path for folder in folders for path in folder.glob("*.so*") if path.is_file()]
    fakes = work / f"fakes-{version}-{name.python}"
    fakes.mkdir()
    major = name.variant[2:-1]
    torch_only = [path for path in libraries if "clusca_cuda" not in path.name]
    beside = {path.name for path in libraries}
    names = make_fakes(torch_only, beside, fakes)
    ours = site / "clusca_ext/libclusca_cuda.so"
    if f"libcudart.so.{major}" in names:
        names = make_fakes([*torch_only, ours], beside, fakes)
    print(f"Python {name.python}, torch {version}: {len(names)} libraries faked", flush=True)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(fakes)}
    probe = [venv / "bin/python", "-c", PROBE, major, str(SMOKE.resolve()), name.variant]
    subprocess.check_call(probe, env=environment, cwd=work)
    shutil.rmtree(venv)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheels", type=Path, nargs="+")
    parser.add_argument("--torch", action="append", required=True)
    args = parser.parse_args()
    own = ".".join(platform.python_version_tuple()[:2])
    with tempfile.TemporaryDirectory() as work:
        for wheel in args.wheels:
            all_of_them = WheelName.of(wheel).python == own
            for version in args.torch if all_of_them else args.torch[-1:]:
                try_torch(version, wheel.resolve(), Path(work))


if __name__ == "__main__":
    main()
