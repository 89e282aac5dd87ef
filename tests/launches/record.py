"""What the CUDA operators launch, asked on a CPU and printed as JSON, for tests/test_launches.py.

The operators' host code for CUDA is called with tensors of the CPU, on a runtime that remembers the
launches and does nothing else (cuda_runtime.c). No kernel runs, so that what they return means
nothing; the choice of kernels and their number are those of a GPU.
"""

import ctypes
import json
import sys
from pathlib import Path

import torch

from cached_steps import CONFIGS, MODELS, calls_of_steps
from clusca_ext.ops._dispatch import OPS, overload
from fake_cuda import make_fakes, run
from kernel_cases import CASES, words
from kernel_names import LIBRARY, short_names
from op_samples import sample
from test_huge import OF_LABELS, SHAPES, few_tokens, with_tokens

HERE = Path(__file__).parent
CUDA = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)


class Runtime:
    def __init__(self, folder: Path):
        """Build the stand-ins in a folder and load the CUDA library on them."""
        file = folder / "cuda_runtime.so"
        run("gcc", "-shared", "-fPIC", HERE / "cuda_runtime.c", "-o", file)
        beside = {path.name for path in (Path(torch.__file__).parent / "lib").iterdir()}
        fakes = make_fakes([LIBRARY], beside, folder)
        self.library = ctypes.CDLL(str(file), ctypes.RTLD_GLOBAL)  # found before the fakes' symbols
        self.library.kernel.restype = self.library.launch.restype = ctypes.c_char_p
        for name in fakes:
            ctypes.CDLL(str(folder / name))
        torch.ops.load_library(LIBRARY)

    def kernels(self) -> list[str]:
        """Every kernel that the library has registered."""
        return [self.library.kernel(i).decode() for i in range(self.library.count_kernels())]

    def launches(self, op, args) -> list[str]:
        """The kernels that one call launches, in order, and what it sets to zero."""
        self.library.forget_launches()
        op.redispatch(CUDA, *args)
        return [self.library.launch(i).decode() for i in range(self.library.count_launches())]


def main() -> None:
    runtime = Runtime(Path(sys.argv[1]))

    def launches(name: str, **options) -> list[str]:
        return runtime.launches(overload(name), sample(name, "cpu", **options))

    found = {
        "kernels": runtime.kernels(),
        "cases": {words(name, options): launches(name, **options) for name, options in CASES},
        "samples": {name: launches(name) for name in OPS},
        "fits": [launches("kmeans_fit", max_iters=count) for count in range(4)],
        "huge": [
            [runtime.launches(overload(name), args) for args in of_sizes(name, B, N)]
            for name in OPS
            if name not in OF_LABELS
            for B, N in SHAPES
        ],
        "many": [
            runtime.launches(overload(name), of_many(sample(name, "cpu"), modules))
            for name in ("collapsed_residual.tensor", "collapse_forecasts_")
            for modules in (76, 77)
        ],
        "steps": {
            f"{model} {config}": calls_of_steps(model, config, runtime.launches).launched
            for model in MODELS
            for config in CONFIGS
        },
    }
    known = {*found["kernels"], "memset"}
    names = dict(zip(sorted(known), short_names(sorted(known)), strict=True))
    print(json.dumps(shortened(found, names)))


def of_sizes(name: str, B: int, N: int):
    """Arguments with few tokens and with more than 2^31 elements: no kernel reads them here."""
    args = few_tokens(name, B, "cpu")
    return args, with_tokens(args, N)


def of_many(args, modules: int):
    """The arguments with a module's tensors, which are in lists, repeated."""
    return [each[:1] * modules if isinstance(each, list) else each for each in args]


def shortened(found, names):
    """The same with short names, whether they are values or keys."""
    if isinstance(found, dict):
        return {names.get(key, key): shortened(value, names) for key, value in found.items()}
    if isinstance(found, list):
        return [shortened(value, names) for value in found]
    return names.get(found, found)


if __name__ == "__main__":
    main()
