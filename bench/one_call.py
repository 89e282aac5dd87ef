"""Calls every op once, on FLUX's shape in bfloat16, for a profiler: python bench/one_call.py"""

import torch

from clusca_ext.measuring import operators
from clusca_ext.measuring.timing import DEVICE


def main() -> None:
    torch.set_grad_enabled(False)
    for name in operators.names():
        operator = operators.find(name)
        case = next(c for c in operator.CASES if c.model.name == "flux-1024")
        work = operator.work(case)
        work.ours(*work.args)
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        print(name, case.label)


if __name__ == "__main__":
    main()
