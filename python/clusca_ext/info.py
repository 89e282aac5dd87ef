"""What is installed and what it runs with."""

import importlib.metadata
import importlib.util
import platform
from dataclasses import dataclass

import torch

from clusca_ext import _library, gpus


@dataclass(frozen=True)
class BuildInfo:
    """What this installation of clusca_ext is.

    Attributes:
        version: Version, with the CUDA it was built for.
        torch: The torch it runs with.
        torch_minimum: The oldest torch its libraries fit; empty if not known.
        cuda_loaded: Whether the CUDA kernels are loaded.
        cuda_missing: Why they are not; empty if they are.
        cuda: CUDA release the kernels were compiled with; empty without, or if not known.
        cuda_architectures: What they were compiled for.
        cpu_capability: Which clone of the CPU kernels this machine runs.
        compiler: C++ compiler of the build; empty if not known.
        gpus_too_old: A sentence for each GPU that the kernels cannot run on.
        note: What is not known of the build, and why; empty if all is.
    """

    version: str
    torch: str
    torch_minimum: str
    cuda_loaded: bool
    cuda_missing: str
    cuda: str
    cuda_architectures: str
    cpu_capability: str
    compiler: str
    gpus_too_old: tuple[str, ...]
    note: str

    def __str__(self) -> str:
        cuda = "loaded" if self.cuda_loaded else f"not loaded: {self.cuda_missing}"
        built = f"{self.cuda or '-'} for {self.cuda_architectures or '-'}"
        lines = [
            f"clusca_ext          {self.version}",
            f"torch               {self.torch} (needs >= {self.torch_minimum or '2.10'})",
            f"CUDA kernels        {cuda}",
            f"CUDA of the build   {built}",
            f"CPU kernels         {self.cpu_capability}",
            f"compiler            {self.compiler or '-'}",
        ]
        lines += [f"GPU too old         {reason}" for reason in self.gpus_too_old]
        return "\n".join([*lines, *([f"note                {self.note}"] if self.note else [])])


def version() -> str:
    """The installed version, such as ``"0.1.0+cu130"``: version.txt's, with the build's CUDA."""
    try:
        return importlib.metadata.version("clusca_ext")
    except importlib.metadata.PackageNotFoundError:
        return "not installed, run from source"


def build_info() -> BuildInfo:
    """Describe the installation. Works also where ``_C`` was built for another Python.

    It starts CUDA where there are a GPU and kernels for it, to see whether the two fit.
    """
    built: dict[str, str] = {}
    note = ""
    try:
        from clusca_ext import _C

        built = _C.build_info()
    except ImportError:
        found = sorted(path.name for path in _library.FOLDER.glob("_C*.so"))
        made = f"{found[0]} was built for another Python" if found else "_C was not built"
        note = f"{made} (this is Python {platform.python_version()}): build details are not known"
    # Only a loaded library makes a GPU's age matter, and asking starts CUDA.
    loaded = not _library.cuda_missing and torch.cuda.is_available()
    old = [gpus.too_old(index) for index in range(torch.cuda.device_count())] if loaded else []
    return BuildInfo(
        version=version(),
        torch=torch.__version__,
        torch_minimum=built.get("torch_minimum", ""),
        cuda_loaded=not _library.cuda_missing,
        cuda_missing=_library.cuda_missing,
        cuda=built.get("cuda", ""),
        cuda_architectures=built.get("cuda_architectures", ""),
        cpu_capability=built.get("cpu_capability", torch.backends.cpu.get_cpu_capability()),
        compiler=built.get("compiler", ""),
        gpus_too_old=tuple(filter(None, old)),
        note=note,
    )
