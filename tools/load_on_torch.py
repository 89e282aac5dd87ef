"""Load a wheel on real CUDA builds of torch, on a machine without CUDA.

    python tools/load_on_torch.py dist/clusca_ext-*.whl --torch 2.10.0 --torch 2.11.0

For each torch: a fresh environment, that torch without its CUDA packages, fakes in their place
(fake_cuda.py), the wheel. Where torch's CUDA is of the wheel's major, every operator must get its
CUDA kernel; elsewhere there must be one sentence that says why not, and working CPU operators.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fake_cuda import make_fakes

# What `import torch` needs besides itself.
PYTHON_PACKAGES = [
    "numpy",
    "typing_extensions",
    "sympy",
    "networkx",
    "jinja2",
    "fsspec",
    "filelock",
]

PROBE = """
import os, sys
sys.setdlopenflags(os.RTLD_LAZY)  # torch's own libraries use more of CUDA than the fakes have
import torch
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
print(clusca_ext.build_info())
major, built = torch.version.cuda.split(".")[0], sys.argv[1]
if major == built:
    assert not _library.cuda_missing, _library.cuda_missing
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    assert all(has(f"clusca::{name}", "CUDA") for name in OPS)
    print(f"all {len(OPS)} CUDA kernels registered on torch {torch.__version__}")
else:
    assert "does not fit" in _library.cuda_missing, _library.cuda_missing
    print(f"torch is of CUDA {major}, the wheel of CUDA {built}: said so, CPU operators work")
"""


def try_torch(version: str, wheel: Path, work: Path) -> None:
    venv = work / f"torch-{version}"
    subprocess.check_call([sys.executable, "-m", "venv", venv])
    pip = [venv / "bin/pip", "install", "--quiet"]
    subprocess.check_call([*pip, *PYTHON_PACKAGES])
    subprocess.check_call([*pip, "--no-deps", f"torch=={version}"])
    subprocess.check_call([*pip, "--no-deps", wheel])
    site = next(venv.glob("lib/python*/site-packages"))
    folders = [site / "torch/lib", site / "torch", site / "clusca_ext"]
    libraries = [path for folder in folders for path in folder.glob("*.so*") if path.is_file()]
    fakes = work / f"fakes-{version}"
    fakes.mkdir()
    major = wheel.name.partition("+cu")[2][:2]
    torch_only = [path for path in libraries if "clusca_cuda" not in path.name]
    beside = {path.name for path in libraries}
    names = make_fakes(torch_only, beside, fakes)
    ours = site / "clusca_ext/libclusca_cuda.so"
    if f"libcudart.so.{major}" in names:
        names = make_fakes([*torch_only, ours], beside, fakes)
    print(f"torch {version}: {len(names)} libraries faked")
    environment = {**os.environ, "LD_LIBRARY_PATH": str(fakes)}
    subprocess.check_call([venv / "bin/python", "-c", PROBE, major], env=environment, cwd=work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--torch", action="append", required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        for version in args.torch:
            try_torch(version, args.wheel.resolve(), Path(work))


if __name__ == "__main__":
    main()
