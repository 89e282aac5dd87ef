"""Calls every op once, on FLUX's shape in bfloat16, for a profiler: python bench/one_call.py"""

import importlib
import pathlib

import torch

from timing import DEVICE


def call_once(ours, eager, args, **_):
    ours(*args)


def main() -> None:
    torch.set_grad_enabled(False)
    for path in sorted(pathlib.Path(__file__).parent.glob("bench_*.py")):
        module = importlib.import_module(path.stem)
        case = next(c for c in module.CASES if c.model.name == "flux-1024")
        getattr(module, path.stem)(call_once, case)
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        print(path.stem, case.label)


if __name__ == "__main__":
    main()
