"""Load an installed wheel's libraries without torch's Python: PYTHON load.py TORCH_FOLDER.

For Pythons that this machine has no torch for: ``_C`` must import there and say what it is, and the
operator library must find all its symbols in a libtorch_cpu.so, which knows no Python. Whether
operators compute and models draw, smoke.py says where there is a torch.
"""

import ctypes
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import platform
import sys
from pathlib import Path


def main() -> None:
    torch = Path(sys.argv[1])
    installed = importlib.metadata.distribution("clusca_ext")
    package = Path(installed.locate_file("clusca_ext"))
    file = package / f"_C{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    spec = importlib.util.spec_from_file_location("clusca_ext._C", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    built = module.build_info()
    is_cpu = installed.version.endswith("+cpu")
    assert bool(built["cuda"]) != is_cpu, (installed.version, built)
    assert bool(built["cuda_architectures"]) != is_cpu, built
    ctypes.CDLL(str(torch / "lib/libtorch_cpu.so"), os.RTLD_NOW | os.RTLD_GLOBAL)
    ctypes.CDLL(str(package / "libclusca_ops.so"), os.RTLD_NOW)
    print(f"Python {platform.python_version()}: {installed.version} loads; {built}")


if __name__ == "__main__":
    main()
