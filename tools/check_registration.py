"""Load both libraries on a torch without CUDA, and see that every operator gets its CUDA kernel.

    python tools/check_registration.py PACKAGE_FOLDER STUB_FOLDER

The stub that stood in for libtorch_cuda.so at link time stands in for it again; libcudart must be
where the loader finds it. No kernel runs. On a torch with CUDA there is nothing to check: the
package's tests load the library there.
"""

import ctypes
import sys
from pathlib import Path

import torch


def kernels(key: str) -> set[str]:
    names = [name for name in torch._C._dispatch_get_all_op_names() if name.startswith("clusca::")]
    return {name for name in names if torch._C._dispatch_has_kernel_for_dispatch_key(name, key)}


def main() -> None:
    package, stub = Path(sys.argv[1]), Path(sys.argv[2])
    if torch.version.cuda is not None:
        print(f"left out: torch {torch.__version__} has CUDA, and the check is for one without")
        return
    torch.ops.load_library(package / "libclusca_ops.so")
    on_cpu, before = kernels("CPU"), kernels("CUDA")
    ctypes.CDLL(str(stub / "libtorch_cuda.so"))
    torch.ops.load_library(package / "libclusca_cuda.so")
    missing = sorted(on_cpu - kernels("CUDA"))
    print(f"{len(on_cpu)} operators on the CPU; without a CUDA kernel: {missing or 'none'}")
    sys.exit(bool(before or missing or not on_cpu))


if __name__ == "__main__":
    main()
