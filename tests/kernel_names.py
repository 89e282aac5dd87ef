"""Names of the CUDA kernels: those the library has, and short forms of them."""

import re
import subprocess
from pathlib import Path

import clusca_ext

LIBRARY = Path(clusca_ext.__file__).parent / "libclusca_cuda.so"


def mangled_names():
    """Of every kernel that the library registers with CUDA, as its bytes hold them."""
    found = re.findall(rb"_Z\w+_kernel\w*", LIBRARY.read_bytes())
    return sorted({name.decode() for name in found})


def short_names(mangled):
    """The same without namespaces, return type and parameters: ``name<arguments>``."""
    text = "\n".join(mangled)
    plain = subprocess.run(["c++filt"], input=text, check=True, capture_output=True, text=True)
    return [short_name(line) for line in plain.stdout.splitlines()]


def short_name(demangled):
    plain = demangled.replace("(anonymous namespace)::", "").replace("clusca::", "")
    match = re.search(r"(\w+_kernel(<.*>)?)\(", plain)
    return match[1] if match else plain
